// Package jar understands the archives that users upload: plain and shaded JARs, ZIPs with
// lib/, Spring Boot's nested JARs, Quarkus' fast-jar folders and provided runtimes. It says
// what is in one (Inspect) and lays it out on disk so that HotSpot and native-image can use
// it (Extract).
//
// An archive is hostile until it was inspected: names that leave the folder, bombs, links,
// encryption, duplicates and truncation are refused with a reason for the user. The package
// runs nothing and knows nothing of functions' configuration, workers or builds.
package jar

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/cloudjit/cloudjit/internal/function"
)

// Limits of an archive. Zero fields take the value of DefaultLimits.
type Limits struct {
	// Archive is the most bytes of the uploaded file.
	Archive int64
	// Unzipped is the most bytes of everything in it, as AWS Lambda counts: JARs inside count
	// as files, not with their contents.
	Unzipped int64
	// Entries is the most files and folders, those of JARs inside included.
	Entries int
	// Files is the most of the archive's own files and folders, the folders that names imply included:
	// each costs an inode where it is unpacked. Depth is the most folders in each other.
	Files, Depth int
}

// DefaultLimits are those of AWS Lambda (250 MB unzipped) and of what real archives hold.
var DefaultLimits = Limits{Archive: 256 << 20, Unzipped: 250 << 20, Entries: 400_000, Files: 100_000, Depth: 100}

func (l Limits) orDefault() Limits {
	if l.Archive == 0 {
		l.Archive = DefaultLimits.Archive
	}
	if l.Unzipped == 0 {
		l.Unzipped = DefaultLimits.Unzipped
	}
	if l.Entries == 0 {
		l.Entries = DefaultLimits.Entries
	}
	if l.Files == 0 {
		l.Files = DefaultLimits.Files
	}
	if l.Depth == 0 {
		l.Depth = DefaultLimits.Depth
	}
	return l
}

// Layout is how an archive is arranged.
type Layout string

const (
	// LayoutJar is one JAR that is a class path by itself: thin, shaded, Quarkus' uber-jar.
	LayoutJar Layout = "jar"
	// LayoutZip has classes at its root and JARs in lib/ (AWS Lambda's), or JARs at its root.
	LayoutZip Layout = "zip"
	// LayoutSpringBoot is a JAR with BOOT-INF/classes and BOOT-INF/lib.
	LayoutSpringBoot Layout = "spring-boot"
	// LayoutQuarkus is the folder quarkus-app in a ZIP (Quarkus' fast-jar).
	LayoutQuarkus Layout = "quarkus-fast-jar"
	// LayoutProvided has an executable bootstrap at its root.
	LayoutProvided Layout = "provided"
	// LayoutFiles is source of a language that an interpreter runs, and what it depends on: files as they are.
	LayoutFiles Layout = "files"
)

// Framework is what the builder has to know about an application.
type Framework string

const (
	FrameworkPlain      Framework = "plain"
	FrameworkSpringBoot Framework = "spring-boot"
	FrameworkQuarkus    Framework = "quarkus"
	FrameworkMicronaut  Framework = "micronaut"
)

// Info is what Inspect found. It travels as JSON.
type Info struct {
	Layout    Layout    `json:"layout"`
	Framework Framework `json:"framework"`
	// MainClass is the application's class to start (a loader's Start-Class, not the loader);
	// empty: none found.
	MainClass string `json:"mainClass,omitempty"`
	// Opens and Exports are the packages ("java.base/java.lang") that the application's manifest
	// opens and exports, and NativeAccess whether it may call native code: what "java -jar" heeds.
	Opens        []string `json:"opens,omitempty"`
	Exports      []string `json:"exports,omitempty"`
	NativeAccess bool     `json:"nativeAccess,omitempty"`
	// Handlers are the classes that implement a Lambda handler interface, the application's own
	// before those of libraries that were shaded in.
	Handlers []Handler `json:"handlers,omitempty"`
	// Adapters are the classes of the application's framework that stand between AWS Lambda and it, and are
	// the handler of every application of theirs.
	Adapters []string `json:"adapters,omitempty"`
	// Server: an HTTP server is among the libraries, so that the main class may serve by itself.
	Server bool `json:"server,omitempty"`
	// JavaVersion is the oldest Java feature release that loads every class; 0: no classes.
	JavaVersion int `json:"javaVersion"`
	// Entries and Unzipped count as Limits do; Classes are those of the application, JARs inside not.
	Entries  int   `json:"entries"`
	Unzipped int64 `json:"unzipped"`
	Classes  int   `json:"classes"`
	// Libraries are what Maven's and Gradle's traces in the archive say it was put together from.
	Libraries []Library `json:"libraries,omitempty"`
	// Paths is the class path after Extract, relative to its folder, in order.
	Paths []string `json:"paths,omitempty"`

	prefix string // the single top folder of a ZIP, which Extract strips; "" or "name/"
}

// Handler is a class that implements RequestHandler or RequestStreamHandler.
type Handler struct {
	Class string `json:"class"`
	// Stream is true for RequestStreamHandler.
	Stream bool `json:"stream,omitempty"`
}

// Library is one artifact inside an archive.
type Library struct {
	// Group is empty where only a file name told.
	Group    string `json:"group,omitempty"`
	Artifact string `json:"artifact"`
	Version  string `json:"version"`
}

// Kind is what the archive is by its looks; a user's own word goes before it. KindUnknown: it cannot be known, and
// Doubt says why.
func (i *Info) Kind() function.Kind {
	switch {
	case i.Layout == LayoutProvided:
		return function.KindProvided
	case i.either():
		return function.KindUnknown
	case i.forLambda(), i.MainClass == "" && i.Classes > 0: // Class::method of any class
		return function.KindHandler
	case i.MainClass != "":
		return function.KindWeb
	default:
		return function.KindUnknown
	}
}

// forLambda: it was made for AWS Lambda, as far as can be seen.
func (i *Info) forLambda() bool {
	if i.MainClass == "" || i.Framework == FrameworkPlain {
		return len(i.Handlers)+len(i.Adapters) > 0
	}
	// Handlers in a framework's libraries say nothing of the application.
	return len(i.Adapters) > 0 || len(i.Handlers) > 0 && !isLibrary(i.Handlers[0].Class)
}

// either: a handler, and a web application of a framework that starts its own server. Quarkus' adapter takes the
// place of its server.
func (i *Info) either() bool {
	return i.MainClass != "" && i.Server && i.Framework != FrameworkPlain && i.Framework != FrameworkQuarkus && i.forLambda()
}

// Candidates are the classes that may be the handler, of which the user has to choose if there are several.
func (i *Info) Candidates() []string {
	if i.Framework == FrameworkQuarkus && len(i.Adapters) > 0 {
		return i.Adapters // which calls the application's own, after injection
	}
	var own, library []string
	for _, h := range i.Handlers {
		if isLibrary(h.Class) {
			library = append(library, h.Class)
		} else {
			own = append(own, h.Class)
		}
	}
	switch {
	case len(own) > 0:
		return own
	case len(i.Adapters) > 0:
		return i.Adapters
	}
	return library
}

// Doubt is a sentence on why the archive does not say what it is, and what to do, for users; empty if it does.
func (i *Info) Doubt() string {
	names := i.Candidates()
	if len(names) > 10 {
		names = append(names[:10:10], "...")
	}
	list := strings.Join(names, ", ")
	switch {
	case i.Kind() != function.KindUnknown && (i.Kind() != function.KindHandler || len(names) == 1):
		return ""
	case i.either():
		return fmt.Sprintf("it could be the web application %s, which brings a server of its own, and a function with the handler %s: say which", i.MainClass, list)
	case len(names) > 1:
		return "several classes could be the handler: " + list
	}
	return "no class in the archive implements a Lambda handler and no manifest names a main class"
}

// ClassPath is the class path of the archive extracted to root, in order, for HotSpot and
// native-image alike.
func (i *Info) ClassPath(root string) []string {
	out := make([]string, len(i.Paths))
	for n, p := range i.Paths {
		out[n] = filepath.Join(root, filepath.FromSlash(p))
	}
	return out
}

// ModuleOptions are the options, for java and native-image alike, that give an application on a class
// path what its manifest asks of "java -jar".
func (i *Info) ModuleOptions() []string {
	var options []string
	for _, p := range i.Exports {
		options = append(options, "--add-exports="+p+"=ALL-UNNAMED")
	}
	for _, p := range i.Opens {
		options = append(options, "--add-opens="+p+"=ALL-UNNAMED")
	}
	if i.NativeAccess {
		options = append(options, "--enable-native-access=ALL-UNNAMED")
	}
	return options
}

// Error is an archive that is refused; the text is for the user who sent it.
type Error struct {
	Reason string
	Hint   string // may be empty
	Err    error  // may be nil
}

func (e *Error) Error() string {
	s := "read archive: " + e.Reason
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

func (e *Error) Unwrap() error { return e.Err }

// ErrTooLarge is wrapped by errors about a limit.
var ErrTooLarge = errors.New("over the limit")

func refuse(format string, args ...any) *Error {
	return &Error{Reason: fmt.Sprintf(format, args...)}
}

func tooLarge(hint, format string, args ...any) *Error {
	return &Error{Reason: fmt.Sprintf(format, args...), Hint: hint, Err: ErrTooLarge}
}
