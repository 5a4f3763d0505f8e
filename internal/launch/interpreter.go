package launch

import (
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/ladder"
)

// Interpreter is the program that runs the functions of a language.
type Interpreter struct {
	// Release is "3.12", "20".
	Release string
	// Program is the executable on the host, and Home the folder of its installation.
	Program, Home string
}

// ClientVariable is the function's variable that says which runtime client it runs with: ClientOwn, or ClientAWS.
const ClientVariable = "CLOUDJIT_RUNTIME_CLIENT"

// Runtime clients. ClientAWS is the one that AWS publishes for the language, which the archive has to bring.
const (
	ClientOwn = "cloudjit"
	ClientAWS = "aws"
)

// WrapperVariable is Lambda's: a program of the archive that starts the runtime, whose command it gets.
const WrapperVariable = "AWS_LAMBDA_EXEC_WRAPPER"

// command is how functions of a language are started.
type command struct {
	// own are the arguments of the interpreter for the platform's own runtime client in a folder; savable: its worker is to
	// be saved. aws are those for the published one.
	own func(b *builder, client string, savable bool) []string
	aws func(b *builder) []string
	// environment is what a function may replace.
	environment func(b *builder) map[string]string
}

var commands = map[function.Kind]command{
	function.KindPython: {
		own: func(_ *builder, client string, _ bool) []string { return []string{path.Join(client, "bootstrap.py")} },
		aws: func(b *builder) []string { return []string{"-m", "awslambdaric", b.Revision.Handler} },
		environment: func(*builder) map[string]string {
			return map[string]string{"PYTHONPATH": runtimeDir}
		},
	},
	function.KindNode: {
		own: func(b *builder, client string, savable bool) []string {
			args := append(b.nodeOptions(), path.Join(client, "bootstrap.js"))
			if savable {
				args = append(args, "--savable")
			}
			return args
		},
		aws: func(b *builder) []string {
			return append(b.nodeOptions(), path.Join(TaskDir, "node_modules/aws-lambda-ric/bin/index.mjs"), b.Revision.Handler)
		},
		environment: func(b *builder) map[string]string {
			return map[string]string{
				"NODE_PATH": "/opt/nodejs/node" + b.Paths.Interpreter.Release + "/node_modules:/opt/nodejs/node_modules:" + path.Join(runtimeDir, "node_modules"),
				// io_uring is refused in sandboxes; node need not find that out.
				"UV_USE_IO_URING": "0",
			}
		},
	},
}

// interpreted is a function that an interpreter runs.
func (b *builder) interpreted(c command) error {
	if b.Recording != ladder.RecordingNone {
		return fmt.Errorf("a function of kind %s records nothing", b.Revision.Kind)
	}
	if b.Rung.Artifact != ladder.ArtifactNone && b.Rung.Artifact != ladder.ArtifactSnapshot {
		return fmt.Errorf("nothing is started from an artifact of the kind %q", b.Rung.Artifact)
	}
	if b.Paths.Interpreter.Program == "" {
		return fmt.Errorf("nothing here runs %s", b.Revision.Runtime)
	}
	if b.Revision.Handler == "" {
		return errors.New("the function has no handler")
	}
	if home := b.Paths.Interpreter.Home; !shown(home) {
		b.mount(home, home) // where it was installed to: files of it name others by their whole path
	}
	program := b.Paths.Interpreter.Program
	b.defaults = c.environment(b)
	b.defaults["PATH"] = path.Dir(program) + ":/usr/local/bin:/usr/bin:/bin:/opt/bin"
	savable := b.Rung.Artifact == ladder.ArtifactSnapshot
	if b.Revision.Environment[ClientVariable] == ClientAWS {
		if savable {
			return errors.New("the published runtime client cannot be told that its worker is saved: there are no snapshots of functions with " + ClientVariable + "=" + ClientAWS)
		}
		b.spec.Args = c.aws(b)
	} else {
		if b.Paths.Client == "" {
			return errors.New("no runtime client")
		}
		b.mount(b.Paths.Client, runtimeDir)
		b.spec.Args = c.own(b, runtimeDir, savable)
	}
	b.spec.Path = program
	if wrapper := b.Revision.Environment[WrapperVariable]; wrapper != "" {
		if !path.IsAbs(wrapper) {
			return fmt.Errorf("%s %q is no absolute path", WrapperVariable, wrapper)
		}
		b.spec.Path, b.spec.Args = path.Clean(wrapper), append([]string{program}, b.spec.Args...)
	}
	return nil
}

// shown reports whether every sandbox sees a folder of the host.
func shown(dir string) bool {
	dir = filepath.Clean(dir)
	return dir == "/" || dir == "/usr" || strings.HasPrefix(dir, "/usr/")
}

// nodeOptions bound the heap as AWS Lambda does, where the function has not decided otherwise: nine tenths of the memory.
func (b *builder) nodeOptions() []string {
	memory := b.Revision.MemoryMiB
	if memory <= 0 || strings.Contains(b.Revision.Environment["NODE_OPTIONS"], "max-old-space-size") || strings.Contains(b.Revision.Environment["NODE_OPTIONS"], "max_old_space_size") {
		return nil
	}
	return []string{"--max-old-space-size=" + strconv.Itoa(memory*9/10)}
}
