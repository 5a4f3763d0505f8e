package cli

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/cloudjit/cloudjit/internal/aot"
	"github.com/cloudjit/cloudjit/internal/aot/nativeimage"
	"github.com/cloudjit/cloudjit/internal/assets"
	"github.com/cloudjit/cloudjit/internal/client"
	"github.com/cloudjit/cloudjit/internal/config"
	"github.com/cloudjit/cloudjit/internal/experiment/bench"
	"github.com/cloudjit/cloudjit/internal/experiment/bench/measure"
	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/jar"
	"github.com/cloudjit/cloudjit/internal/sample"
	"github.com/cloudjit/cloudjit/internal/toolchain"
)

type benchCommands struct {
	Figure1 figure1Command `cmd:"" name:"figure1" help:"Start-up, throughput and memory on HotSpot, with an AOT cache and as native image."`
	Table1  table1Command  `cmd:"" name:"table1" help:"Time, CPU, memory and size of each build."`
	Figure2 figure2Command `cmd:"" name:"figure2" help:"Metadata that the tracer finds, by kind."`
	All     benchAll       `cmd:"" help:"All three, on one server."`
}

// benchFlags are common to all of them.
type benchFlags struct {
	Samples   []string      `arg:"" optional:"" type:"existingdir" help:"Folders of built samples, with their requests.json. Without folders and without --app: documents, petclinic and shopcart of java/samples."`
	App       []string      `sep:"none" help:"Another application: a JAR or ZIP, and its requests in the form of a sample's requests.json. Without requests: GET / (or the event {}). Repeatable." placeholder:"NAME=FILE[,REQUESTS]"`
	Data      string        `help:"Folder for the server's data and unpacked archives. It is kept, so a second run finds the binaries of the first. Without it: a folder in the cache." type:"path" placeholder:"DIR"`
	URL       string        `name:"url" help:"Use the server at this URL instead of starting one. The functions bench-... stay on it. Its policy must be none; otherwise it also records and builds by itself." placeholder:"URL"`
	Report    string        `help:"Write report.html, figures as SVG, values as CSV, and result.json into this folder." type:"path" placeholder:"DIR"`
	Fresh     bool          `help:"Trace and build again, instead of using what an earlier run left. Use it after an update of cloudjit, for example."`
	Rounds    int           `default:"20" help:"How often each request is asked while the tracer records."`
	Rung      []string      `enum:"aot-cache,native,native-optimized,native-profiled" default:"aot-cache,native" help:"Rungs to measure beside HotSpot, separated by commas: aot-cache, native, native-optimized, native-profiled. The platform serves the highest of the native ones."`
	BuildTime time.Duration `default:"45m" help:"How long one native build may take." placeholder:"TIME"`
}

// measureFlags are those of Figure 1. Zero: the default, which depends on --quick.
type measureFlags struct {
	Quick       bool          `help:"A short run: everything once, peak throughput after 3 s."`
	Repeat      int           `help:"Repetitions (3; 1 with --quick)." placeholder:"N"`
	Connections int           `help:"Connections that ask at once (4)." placeholder:"N"`
	ColdStarts  int           `help:"Cold starts through the platform in each repetition (3; 1)." placeholder:"N"`
	Settle      time.Duration `help:"How long a process is idle before its memory is measured (3s; 500ms)." placeholder:"TIME"`
	PeakAfter   time.Duration `help:"How long a process is under load before its peak throughput counts (15s; 3s)." placeholder:"TIME"`
	PeakWindow  time.Duration `help:"How long peak throughput is counted (5s; 2s)." placeholder:"TIME"`
	JDK         []string      `name:"jdk" sep:"none" type:"existingdir" help:"Home of another JDK to measure outside the platform, for example GraalVM's. The platform itself uses the newest one. Repeatable." placeholder:"HOME"`
}

func (f *measureFlags) settings() bench.Settings {
	s := bench.Settings{Repeat: 3, Connections: 4, ColdStarts: 3, Settle: 3 * time.Second, PeakAfter: 15 * time.Second, PeakWindow: 5 * time.Second}
	if f.Quick {
		s.Repeat, s.ColdStarts, s.Settle, s.PeakAfter, s.PeakWindow = 1, 1, 500*time.Millisecond, 3*time.Second, 2*time.Second
	}
	set(&s.Repeat, f.Repeat)
	set(&s.Connections, f.Connections)
	set(&s.ColdStarts, f.ColdStarts)
	set(&s.Settle, f.Settle)
	set(&s.PeakAfter, f.PeakAfter)
	set(&s.PeakWindow, f.PeakWindow)
	return s
}

// set replaces what was not left at zero.
func set[T comparable](to *T, v T) {
	var zero T
	if v != zero {
		*to = v
	}
}

func (f *measureFlags) check() error {
	if f.Repeat < 0 || f.Connections < 0 || f.ColdStarts < 0 || f.Settle < 0 || f.PeakAfter < 0 || f.PeakWindow < 0 {
		return &usageError{"bench: want no negative numbers and times"}
	}
	return nil
}

type figure1Command struct {
	benchFlags
	measureFlags
}

func (cmd *figure1Command) Run(c *Context) error {
	return cmd.run(c, &cmd.measureFlags, bench.Figure1)
}

type table1Command struct{ benchFlags }

func (cmd *table1Command) Run(c *Context) error { return cmd.run(c, &measureFlags{}, bench.Table1) }

type figure2Command struct{ benchFlags }

func (cmd *figure2Command) Run(c *Context) error { return cmd.run(c, &measureFlags{}, bench.Figure2) }

type benchAll struct {
	benchFlags
	measureFlags
}

func (cmd *benchAll) Run(c *Context) error {
	return cmd.run(c, &cmd.measureFlags, bench.Figure1, bench.Table1, bench.Figure2)
}

func (f *benchFlags) run(c *Context, m *measureFlags, parts ...bench.Part) (err error) {
	if err := m.check(); err != nil {
		return err
	}
	if f.Rounds < 1 {
		return &usageError{"bench: --rounds: want 1 or more"}
	}
	o := measure.Options{
		Parts: parts, Settings: m.settings(), Rounds: f.Rounds, BuildTime: f.BuildTime, Fresh: f.Fresh, JDKs: m.JDK,
		Out: c.Stderr, Versions: benchVersions(), Command: "cloudjit " + strings.Join(os.Args[1:], " "),
		Binary: func(key aot.Key) (string, bool) {
			r, ok := nativeimage.Find(filepath.Join(config.CacheDir(), "native"), key)
			if !ok {
				return "", false
			}
			return r.Dir, true
		},
		Assets: func(name string) (string, error) {
			return assets.Install(filepath.Join(config.CacheDir(), "assets"), name)
		},
	}
	for _, name := range f.Rung {
		if rung := function.Rung(name); !slices.Contains(o.Settings.Rungs, rung) {
			o.Settings.Rungs = append(o.Settings.Rungs, rung)
		}
	}
	for _, home := range m.JDK {
		if _, err := toolchain.JDKAt(home); err != nil {
			return &usageError{fmt.Sprintf("bench: --jdk: %v", err)}
		}
	}
	if o.Apps, err = f.apps(); err != nil {
		return err
	}
	if f.Data == "" {
		f.Data = filepath.Join(config.CacheDir(), "bench")
	}
	o.Dir = filepath.Join(f.Data, "files")
	if err := os.MkdirAll(o.Dir, 0o755); err != nil {
		return fmt.Errorf("make folder for data: %w", err)
	}
	url := f.URL
	if url == "" {
		server, startErr := f.serve(c)
		if startErr != nil {
			return startErr
		}
		defer func() { err = errors.Join(err, server.stop()) }()
		url = server.endpoint
	}
	if o.Client, err = client.New(url); err != nil {
		return &usageError{"bench: --url: " + err.Error()}
	}
	result, err := measure.Run(c, o)
	return f.show(c, result, err)
}

// serve starts a server on the kept folder.
func (f *benchFlags) serve(c *Context) (*childServer, error) {
	// What is recorded and built is asked for here; the platform's own wishes would come in the middle
	// of a measurement.
	file := filepath.Join(f.Data, "server.yaml")
	if err := os.WriteFile(file, []byte("policy:\n  name: none\n"), 0o644); err != nil {
		return nil, fmt.Errorf("write the server's configuration: %w", err)
	}
	server, err := startServerOn(c, filepath.Join(f.Data, "server"), filepath.Join(f.Data, "server.log"), "--config", file)
	if err != nil {
		return nil, err
	}
	c.Say("serving at %s; data, log and binaries stay in %s", server.endpoint, f.Data)
	return server, nil
}

// show prints and writes what was measured, also of a run that was cut short.
func (f *benchFlags) show(c *Context, result *bench.Result, err error) error {
	for _, line := range bench.Problems(result) {
		c.Say("note: %s", line)
	}
	if f.Report != "" {
		if writeErr := bench.Write(f.Report, result); writeErr != nil {
			return errors.Join(err, writeErr)
		}
		c.Say("report: %s", filepath.Join(f.Report, "report.html"))
	}
	printErr := c.Print(result, func(w io.Writer) error {
		for i, t := range bench.Tables(result) {
			if i > 0 {
				fmt.Fprintln(w)
			}
			if err := t.WriteText(w); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil && !slices.ContainsFunc(result.Apps, func(a *bench.App) bool { return len(a.Failed) == 0 }) {
		err = errors.New("no application could be measured to the end: see the notes above")
	}
	return errors.Join(err, printErr)
}

// defaultSamples are the paper's applications.
var defaultSamples = []string{"java/samples/documents", "java/samples/petclinic", "java/samples/shopcart"}

// appName is what fits, with "bench-" before it and "-hotspot" after, into a function's name.
var appName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,48}$`)

func (f *benchFlags) apps() ([]measure.Application, error) {
	dirs := f.Samples
	if len(dirs) == 0 && len(f.App) == 0 {
		dirs = defaultSamples
		if _, err := os.Stat(dirs[0]); err != nil {
			return nil, &usageError{"bench: java/samples is not here: run this in the project's folder, or name samples or an --app"}
		}
	}
	var apps []measure.Application
	add := func(name string, s *sample.Sample) error {
		if !appName.MatchString(name) {
			return &usageError{fmt.Sprintf("bench: application %q: want a name of at most 48 letters, digits, - and _", name)}
		}
		if slices.ContainsFunc(apps, func(a measure.Application) bool { return a.Name == name }) {
			return &usageError{fmt.Sprintf("bench: two applications are named %q", name)}
		}
		apps = append(apps, measure.Application{Name: name, Sample: s})
		return nil
	}
	built := false
	for _, dir := range dirs {
		s, err := sample.Load(dir)
		if err != nil {
			return nil, err
		}
		if _, err := os.Stat(s.Archive()); err == nil {
			built = true
		}
		if err := add(filepath.Base(filepath.Clean(dir)), s); err != nil {
			return nil, err
		}
	}
	if len(dirs) > 0 && !built {
		return nil, &usageError{"bench: none of the samples is built: mvn -f java/samples/pom.xml -Papplications package"}
	}
	for _, text := range f.App {
		name, rest, ok := strings.Cut(text, "=")
		if !ok || rest == "" {
			return nil, &usageError{fmt.Sprintf("bench: --app %q: want NAME=FILE[,REQUESTS]", text)}
		}
		archive, requests, _ := strings.Cut(rest, ",")
		s, err := otherSample(archive, requests)
		if err != nil {
			return nil, fmt.Errorf("--app %s: %w", name, err)
		}
		if err := add(name, s); err != nil {
			return nil, err
		}
	}
	return apps, nil
}

// otherSample makes a sample of any archive; without a file of requests it is asked the least
// that can be.
func otherSample(archive, requests string) (*sample.Sample, error) {
	if requests != "" {
		return sample.LoadFor(archive, requests)
	}
	archive, err := filepath.Abs(archive)
	if err != nil {
		return nil, err
	}
	info, err := jar.Inspect(archive, jar.Limits{})
	if err != nil {
		return nil, fmt.Errorf("look into %s: %w", archive, err)
	}
	s := &sample.Sample{Artifact: archive, Kind: info.Kind().String()}
	switch info.Kind() {
	case function.KindWeb:
		s.Requests = []sample.Request{{Name: "GET /", Method: http.MethodGet, Path: "/", Status: 200}}
	case function.KindHandler:
		if info.Doubt() != "" {
			return nil, errors.New(noHandler(info) + "; or give a file of requests, which names it")
		}
		s.Handler = info.Candidates()[0]
		s.Requests = []sample.Request{{Name: "{}", Event: []byte("{}")}}
	default:
		return nil, errors.New("only Java functions have rungs to compare")
	}
	return s, nil
}

// benchVersions names what a server of this program would use on this machine.
func benchVersions() bench.Versions {
	v := bench.Versions{CloudJIT: Version(), JDK: "none"}
	if found, _ := toolchain.Find(toolchain.FindOptions{Cache: config.CacheDir()}); len(found) > 0 {
		v.Builder = fmt.Sprintf("native-image %s (%s, %s)", found[0].Version, found[0].Kind, found[0].Edition)
	}
	if jdks := toolchain.FindJDKs(toolchain.FindOptions{Cache: config.CacheDir()}); len(jdks) > 0 {
		v.JDK = fmt.Sprintf("%s (%s)", jdks[0].Version, jdks[0].Vendor)
	}
	return v
}
