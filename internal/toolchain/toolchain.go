// Package toolchain finds or makes what CloudJIT needs to compile and run Java: a native-image
// builder and a JDK.
//
// Find lists the builders of the machine, newest first, and says why it rejected the others.
// Assemble makes a builder from published packages where there is none, InstallRelease
// downloads an official GraalVM. Whatever the kind, home/bin/native-image is the command and it
// takes the options of GraalVM's. FindJDKs lists what can run functions.
//
//	list, rejected := toolchain.Find(toolchain.FindOptions{Cache: cache})
//	if len(list) == 0 {
//		tc, err := toolchain.Assemble(ctx, toolchain.AssembleOptions{Cache: cache})
//		...
//	}
//	exec.CommandContext(ctx, list[0].NativeImage(), "-cp", jar, "-o", "app", "com.example.Main")
//
// The package knows nothing of functions, metadata or builds: what is compiled, with which
// options and limits, is decided in package aot.
package toolchain

import (
	"errors"
	"path/filepath"
)

// Kind says where a builder comes from.
type Kind string

const (
	// Assembled is a builder that Assemble made from published packages.
	Assembled Kind = "assembled"
	// GraalVM is an official distribution, community or Oracle.
	GraalVM Kind = "graalvm"
	// Mandrel is Red Hat's distribution for Quarkus.
	Mandrel Kind = "mandrel"
)

// Toolchain is a native-image builder on this machine.
type Toolchain struct {
	Kind Kind `json:"kind"`
	// Home is laid out as a GraalVM home: bin/native-image, bin/java, release.
	Home string `json:"home"`
	// Version of the builder: "25.0.2".
	Version string `json:"version"`
	// Edition is "community" or "oracle", as its release file says. Whether it takes profiles it says itself: see Profiles.
	Edition string `json:"edition"`
	// Agent reports that -agentlib:native-image-agent works with Home's java.
	Agent bool `json:"agent"`
	// Patches reports that classes of the builder can be exchanged (-J--patch-module) by others made with the ClassFile API,
	// which came with Java 24. Without, some differences from HotSpot give no signal.
	Patches bool `json:"patches"`
}

// NativeImage is the command that builds images.
func (t Toolchain) NativeImage() string { return filepath.Join(t.Home, "bin", "native-image") }

// Java is the JDK's launcher that belongs to the builder.
func (t Toolchain) Java() string { return filepath.Join(t.Home, "bin", "java") }

// Progress is a step of an installation.
type Progress struct {
	// Step is a short text: "download svm-25.0.2.jar", "compile libjava".
	Step string
	// Done and Total count bytes or files; Total 0: not known.
	Done, Total int64
}

// ProgressFunc is called from the goroutine that installs; nil: nobody listens.
type ProgressFunc func(Progress)

func (f ProgressFunc) report(step string, done, total int64) {
	if f != nil {
		f(Progress{Step: step, Done: done, Total: total})
	}
}

// Error is a failure that the user can do something about.
type Error struct {
	// Op is what was tried: "assemble the builder".
	Op  string
	Err error
	// Hint is what to do, often a command.
	Hint string
}

func (e *Error) Error() string {
	text := e.Op + ": " + e.Err.Error()
	if e.Hint != "" {
		text += "; " + e.Hint
	}
	return text
}

func (e *Error) Unwrap() error { return e.Err }

// ErrChecksum is a downloaded file that is not the one that was published.
var ErrChecksum = errors.New("checksum does not match")
