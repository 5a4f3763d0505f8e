// Package cli is the command line: it parses arguments, calls the packages that do the work,
// and prints what they return. Results go to stdout, progress and prose to stderr; --json
// prints what programs read. It must not decide anything that the server decides.
package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/alecthomas/kong"
	kongcompletion "github.com/jotaen/kong-completion"

	"github.com/cloudjit/cloudjit/internal/client"
)

// Exit codes, as the help shows them.
const (
	exitOK          = 0
	exitError       = 1 // the command failed
	exitUsage       = 2 // the command line is wrong
	exitUnreachable = 3 // no server answers
	exitNotFound    = 4 // no such function, version, build...
	exitFunction    = 5 // the function itself returned an error
	exitThrottled   = 6 // the server refused for now
	exitInterrupted = 130
)

const description = `CloudJIT runs ordinary Java functions, and makes them start sooner by itself: with AOT caches, from
snapshots of warm workers, and as native binaries where that pays.

Exit codes: 0 done; 1 failed; 2 wrong command line; 3 no server answers; 4 not found; 5 the function returned an error; 6 throttled; 130 interrupted.`

// Context is what every command runs with.
type Context struct {
	context.Context
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	// JSON says that stdout is for a program.
	JSON bool
	// Client reaches the server that --endpoint names.
	Client *client.Client
}

// read reads a file; "-" is stdin. An interrupt ends it, also while a terminal or a pipe has nothing to say.
func (c *Context) read(file string) ([]byte, error) {
	type result struct {
		content []byte
		err     error
	}
	done := make(chan result, 1)
	go func() { // it ends with the process
		var r result
		if file == "-" {
			r.content, r.err = io.ReadAll(c.Stdin)
		} else {
			r.content, r.err = os.ReadFile(file)
		}
		done <- r
	}()
	select {
	case r := <-done:
		return r.content, r.err
	case <-c.Done():
		return nil, c.Err()
	}
}

// Print writes v as indented JSON with --json, and else calls text.
func (c *Context) Print(v any, text func(w io.Writer) error) error {
	if !c.JSON {
		return text(c.Stdout)
	}
	enc := json.NewEncoder(c.Stdout)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// Say writes a line of prose to stderr.
func (c *Context) Say(format string, args ...any) { fmt.Fprintf(c.Stderr, format+"\n", args...) }

// commands is the whole command line.
type commands struct {
	JSON     bool   `help:"Print JSON."`
	Endpoint string `help:"URL of the server." env:"CLOUDJIT_ENDPOINT" default:"http://127.0.0.1:9700" placeholder:"URL"`

	Serve      serveCommand              `cmd:"" help:"Run the platform." group:"server"`
	Backup     backupCommand             `cmd:"" help:"Write everything that must not be lost to one file, while the server runs." group:"server"`
	Restore    restoreCommand            `cmd:"" help:"Make a data folder from a backup. Start the server with it afterwards." group:"server"`
	Cluster    clusterCommands           `cmd:"" help:"Look at the nodes of a cluster, take one out, or turn a single node into one of several." group:"server"`
	Health     healthCommand             `cmd:"" help:"Show what does not work, what was lost and what was repaired." group:"server"`
	Doctor     doctorCommand             `cmd:"" help:"Show what CloudJIT finds on this machine, and how to get what is missing." group:"server"`
	Toolchain  toolchainCommands         `cmd:"" help:"Find or install native-image, a JDK and CRIU." group:"server"`
	Guest      guestCommands             `cmd:"" help:"Make what virtual machines boot (drivers qemu and firecracker)." group:"server"`
	Deploy     deployCommand             `cmd:"" help:"Create a function from an archive, or give it new code." group:"functions"`
	Invoke     invokeCommand             `cmd:"" help:"Run a function once." group:"functions"`
	List       listCommand               `cmd:"" help:"List functions." group:"functions"`
	Describe   describeCommand           `cmd:"" help:"Show a function, its ladder and its history." group:"functions"`
	Logs       logsCommand               `cmd:"" help:"Show what a function wrote." group:"functions"`
	Delete     deleteCommand             `cmd:"" help:"Delete a function." group:"functions"`
	Optimize   optimizeCommand           `cmd:"" help:"Make a rung of a function now: its AOT cache, a snapshot, or a binary." group:"pipeline"`
	Deoptimize deoptimizeCommand         `cmd:"" help:"Make a function leave its highest rung." group:"pipeline"`
	Policy     policyCommand             `cmd:"" help:"Show or change when functions are optimized." group:"pipeline"`
	Top        topCommand                `cmd:"" help:"Watch functions, workers and builds." group:"pipeline"`
	Demo       demoCommand               `cmd:"" help:"Take sample functions up the ladder, and measure each rung." group:"experiments"`
	Bench      benchCommands             `cmd:"" help:"Measure applications on HotSpot and as native image: the paper's Figures 1 and 2 and Table 1." group:"experiments"`
	Simulate   simulateCommand           `cmd:"" help:"Run a trace through the platform's engine, with modelled durations." group:"experiments"`
	Replay     replayCommand             `cmd:"" help:"Run a trace on a live platform, with and without the optimizer, and simulate the same." group:"experiments"`
	Trace      traceCommands             `cmd:"" help:"Describe, cut, scale and generate invocation traces." group:"experiments"`
	Completion kongcompletion.Completion `cmd:"" help:"Print how to turn on completion in a shell." group:"other"`
	Man        manCommand                `cmd:"" hidden:"" help:"Write manual pages."`
	Version    versionCommand            `cmd:"" help:"Print the version." group:"other"`
}

type versionCommand struct{}

func (versionCommand) Run(c *Context) error {
	v := Version()
	return c.Print(map[string]string{"version": v}, func(w io.Writer) error {
		_, err := fmt.Fprintln(w, "cloudjit", v)
		return err
	})
}

// version is that of a release, which its build sets.
var version string

// Version is that of the release, or the module's, or the commit in a build from a checkout.
func Version() string {
	if version != "" {
		return version
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	module, commit := info.Main.Version, ""
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 {
			commit = s.Value[:12]
		}
	}
	switch {
	case module != "" && module != "(devel)":
		return module
	case commit != "":
		return "devel-" + commit
	}
	return "devel"
}

type exit int

func newParser(cmds *commands, stdout, stderr io.Writer) *kong.Kong {
	parser, err := kong.New(cmds, kong.Name("cloudjit"), kong.Description(description),
		kong.Writers(stdout, stderr), kong.Exit(func(code int) { panic(exit(code)) }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 120}), kong.UsageOnError(),
		kong.ExplicitGroups([]kong.Group{
			{Key: "functions", Title: "Functions:"}, {Key: "pipeline", Title: "Pipeline:"},
			{Key: "experiments", Title: "Experiments:"}, {Key: "server", Title: "Server:"}, {Key: "other", Title: "Other:"},
		}))
	if err != nil {
		panic(err) // the structs above are wrong
	}
	return parser
}

// Main runs one command line and returns the process's exit code.
func Main(args []string, stdin io.Reader, stdout, stderr io.Writer) (code int) {
	// kong ends the process after --help; a panic brings us back here instead.
	helpExit := exitOK
	defer func() {
		if r := recover(); r != nil {
			e, ok := r.(exit)
			if !ok {
				panic(r)
			}
			code = max(int(e), helpExit)
		}
	}()
	var cmds commands
	parser := newParser(&cmds, stdout, stderr)
	kongcompletion.Register(parser)
	if len(args) == 0 {
		helpExit = exitUsage // nothing was asked for
		parser.Stdout, args = stderr, []string{"--help"}
	}
	parsed, err := parser.Parse(args)
	if err != nil {
		fmt.Fprintf(stderr, "cloudjit: %v\nTry \"cloudjit --help\".\n", err)
		return exitUsage
	}

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	server, err := client.New(cmds.Endpoint)
	if err != nil {
		fmt.Fprintln(stderr, "cloudjit:", err)
		return exitUsage
	}
	c := &Context{Context: ctx, Stdin: stdin, Stdout: stdout, Stderr: stderr, JSON: cmds.JSON, Client: server}
	err = parsed.Run(c, parser)
	if err != nil {
		fmt.Fprintln(stderr, "cloudjit:", err)
		var hint interface{ Hint() string }
		if errors.As(err, &hint) && hint.Hint() != "" {
			fmt.Fprintln(stderr, hint.Hint())
		}
	}
	return exitCode(ctx, err)
}

// exitCode maps errors to exit codes; nothing else does.
func exitCode(ctx context.Context, err error) int {
	var api *client.Error
	var fn *functionError
	var unreachable *client.UnreachableError
	var usage *usageError
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, context.Canceled) && ctx.Err() != nil:
		return exitInterrupted
	case errors.As(err, &fn):
		return exitFunction
	case errors.As(err, &usage):
		return exitUsage
	case errors.As(err, &unreachable):
		return exitUnreachable
	case errors.As(err, &api) && api.Status == 404:
		return exitNotFound
	case errors.As(err, &api) && api.Status == 429:
		return exitThrottled
	}
	return exitError
}

// hintError is an error with what to do about it.
type hintError struct {
	error
	hint string
}

func (e *hintError) Hint() string  { return e.hint }
func (e *hintError) Unwrap() error { return e.error }

// usageError is a command line that kong cannot find wrong by itself.
type usageError struct{ msg string }

func (e *usageError) Error() string { return e.msg }
