// Package libtable compares native images with HotSpot on popular Java libraries.
//
// For each library there is a small Java program (java/). It runs on HotSpot, plain and traced;
// it is built with exact metadata from CloudJIT's tracer alone (what the libraries' jars bring
// is left out); it runs as a native image; and all three must print the same. The package
// serves no platform: it is how the tracer is judged, and writes docs/library-table.md.
package libtable

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/cloudjit/cloudjit/internal/metadata"
)

// Group is the cases that share one image: builds are what takes the time.
type Group struct {
	// Main is the class that runs the case that its argument names.
	Main  string
	Cases []Case
}

// Case is one program.
type Case struct {
	// Name is the argument that chooses it.
	Name string
	// What is the library and what is done with it, for the table.
	What string
}

// Groups are all cases.
var Groups = []Group{
	{"cases.Platform", []Case{
		{"reflection", "JDK: classes, constructors, methods, fields, records, sealed types, arrays by name"},
		{"method-handles", "JDK: method handles and VarHandles"},
		{"serialization", "JDK: object streams with records, enums, externalizable, lambdas, proxies"},
		{"proxies", "JDK: dynamic proxies"},
		{"resources", "JDK: resources, present and absent"},
		{"bundles", "JDK: resource bundles"},
		{"services", "JDK: ServiceLoader"},
		{"missing", "JDK: classes, members and resources that do not exist"},
		{"storm", "JDK: 16 threads that reflect at once"},
		{"jdk-xml", "JDK: DOM, SAX, StAX, XPath, XSLT"},
		{"jdk-beans", "JDK: Introspector and MBeans"},
		{"annotations", "JDK: annotations, generic signatures, parameter names"},
	}},
	{"cases.Json", []Case{
		{"jackson", "Jackson 2.19: records, polymorphism, beans, enums, modules"},
		{"gson", "Gson 2.13: records, fields, generic types"},
		{"xstream", "XStream 1.4: objects by fields"},
		{"jaxb", "JAXB 4.0: annotated beans"},
		{"lambda-events", "AWS Lambda events 3.16 with their serializers"},
	}},
	{"cases.Services", []Case{
		{"logback", "SLF4J 2.0 with logback 1.5"},
		{"h2", "H2 2.3: database in memory"},
		{"postgresql", "PostgreSQL driver 42.7: loading, a connection that fails"},
		{"sqlite", "SQLite driver 3.50: a native library in the jar"},
		{"httpclient5", "Apache HttpClient 5.5"},
		{"hibernate-validator", "Hibernate Validator 8.0 with Expressly"},
		{"thymeleaf", "Thymeleaf 3.1 with OGNL"},
		{"jakarta-mail", "Jakarta Mail 2.0 (Angus)"},
		{"aws-sdk", "AWS SDK 2.32: DynamoDB"},
	}},
}

// Config says what to compare with.
type Config struct {
	NativeImage string // the builder's command
	Java        string // of the JDK that the builder's images stand for
	Tracer      metadata.Tracer
	// ClassPath is the cases and their libraries.
	ClassPath []string
	// Work is a folder for everything that is made.
	Work string
	// Log is called with a sentence about what is done now.
	Log func(string)
}

// Result is one row of the table.
type Result struct {
	Case
	// Reason is why it failed, empty if all three answers are the same.
	Reason string
	// Elements is how many the tracer recorded.
	Elements int
	// HotSpot, Traced and Native are the whole times of one run.
	HotSpot, Traced, Native time.Duration
}

// caseTime is the longest that one run may take.
const caseTime = 2 * time.Minute

// Run makes the rows of one group.
func Run(ctx context.Context, c Config, group Group) ([]Result, error) {
	work := filepath.Join(c.Work, group.Main)
	results := make([]Result, len(group.Cases))
	want := make([]string, len(group.Cases))
	var known *metadata.Set
	for i, cs := range group.Cases {
		c.Log("running " + cs.Name + " on HotSpot")
		results[i].Case = cs
		set, output, err := c.hotspot(ctx, work, group.Main, &results[i])
		if err != nil {
			return nil, fmt.Errorf("run %s on HotSpot: %w", cs.Name, err)
		}
		known, want[i] = metadata.Merge(known, set), output
	}
	c.Log("building " + group.Main)
	image, err := c.build(ctx, work, group.Main, known)
	if err != nil {
		return nil, fmt.Errorf("build %s: %w", group.Main, err)
	}
	for i := range results {
		r := &results[i]
		c.Log("running " + r.Name + " natively")
		start := time.Now()
		got, err := run(ctx, work, image, r.Name, "-XX:MissingRegistrationReportingMode=Exit")
		r.Native = time.Since(start)
		if r.Reason == "" {
			r.Reason = judge(want[i], got, err)
		}
	}
	return results, nil
}

// hotspot runs a case plain and traced; a tracer that changes the answer is a failure of the row.
func (c Config) hotspot(ctx context.Context, work, main string, r *Result) (*metadata.Set, string, error) {
	trace := filepath.Join(work, "trace", r.Name)
	if err := os.MkdirAll(trace, 0o755); err != nil {
		return nil, "", err
	}
	option, err := c.Tracer.JVMOption(trace, "", 0)
	if err != nil {
		return nil, "", err
	}
	classPath := strings.Join(c.ClassPath, string(os.PathListSeparator))
	start := time.Now()
	plain, err := run(ctx, work, c.Java, "-cp", classPath, main, r.Name)
	if err != nil {
		return nil, "", err
	}
	r.HotSpot = time.Since(start)
	start = time.Now()
	traced, err := run(ctx, work, c.Java, option, "-cp", classPath, main, r.Name)
	r.Traced = time.Since(start)
	if reason := judge(plain, traced, err); reason != "" {
		r.Reason = "traced on HotSpot: " + reason
	}
	data, err := os.ReadFile(filepath.Join(trace, metadata.TraceFile))
	if err != nil {
		return nil, "", err
	}
	set, err := metadata.Parse(data)
	r.Elements = set.Len()
	return set, plain, err
}

func (c Config) build(ctx context.Context, work, main string, known *metadata.Set) (string, error) {
	config := filepath.Join(work, "metadata")
	folder := filepath.Join(config, "META-INF", "native-image", "dev.cloudjit", "trace")
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return "", err
	}
	if err := os.WriteFile(filepath.Join(folder, metadata.TraceFile), known.JSON(), 0o644); err != nil {
		return "", err
	}
	image := filepath.Join(work, "image")
	classPath := strings.Join(append([]string{config}, c.ClassPath...), string(os.PathListSeparator))
	output, err := run(ctx, work, c.NativeImage, "-Ob", "--exact-reachability-metadata", "--no-fallback",
		// Only the tracer's metadata counts here; the libraries' other settings are kept.
		"--exclude-config", `.*\.jar`, `.*META-INF/native-image/.*\.json`,
		"-cp", classPath, "-o", image, main)
	if err != nil {
		return "", fmt.Errorf("%w\n%s", err, tail(output, 4000))
	}
	return image, nil
}

// run returns what a command prints to its standard output.
func run(ctx context.Context, dir, path string, args ...string) (string, error) {
	if !strings.Contains(path, "native-image") {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, caseTime)
		defer cancel()
	}
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Dir = dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 5 * time.Second
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if err != nil {
		return stdout.String() + stderr.String(), err
	}
	return stdout.String(), nil
}

// judge says in a sentence why an answer is wrong; empty if it is right.
func judge(want, got string, err error) string {
	if err == nil && got == want {
		return ""
	}
	if missing, ok := metadata.ParseMissing(got); ok {
		return "missing metadata: " + missing.What
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return strings.TrimSpace(exit.String() + ": " + firstFailure(got))
	}
	if err != nil {
		return err.Error()
	}
	return "another answer: " + firstDifference(want, got)
}

// firstFailure finds the line that says most: what Case.main prints, else the last.
func firstFailure(output string) string {
	var last string
	for line := range strings.Lines(output) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "failed: ") {
			return line
		}
		last = cmp.Or(line, last)
	}
	return last
}

func firstDifference(want, got string) string {
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	for i := range min(len(w), len(g)) {
		if w[i] != g[i] {
			return fmt.Sprintf("line %d is %q, not %q", i+1, g[i], w[i])
		}
	}
	return fmt.Sprintf("%d lines, not %d", len(g), len(w))
}

func tail(s string, n int) string {
	if len(s) > n {
		return s[len(s)-n:]
	}
	return s
}

// Markdown writes the table.
func Markdown(results []Result) string {
	var b strings.Builder
	passed := 0
	for _, r := range results {
		if r.Reason == "" {
			passed++
		}
	}
	fmt.Fprintf(&b, `# Libraries as native images

Each row is a small function that ran on HotSpot, traced on HotSpot, and as a native image that
was built (`+"`-Ob --exact-reachability-metadata`"+`) from what CloudJIT's tracer saw of that one run, without
the metadata that the libraries' own jars bring. A row passes when all three print the same.
%d of %d pass. Times are those of one whole run of the process on the machine that made the table.
`+"`make library-table`"+` makes it again.

| function | passes | elements traced | HotSpot | traced | native | why not |
|---|---|---:|---:|---:|---:|---|
`, passed, len(results))
	for _, r := range results {
		passes := "yes"
		if r.Reason != "" {
			passes = "**no**"
		}
		fmt.Fprintf(&b, "| %s | %s | %d | %s | %s | %s | %s |\n", r.What, passes, r.Elements,
			milliseconds(r.HotSpot), milliseconds(r.Traced), milliseconds(r.Native), cell(r.Reason))
	}
	return b.String()
}

func milliseconds(d time.Duration) string { return fmt.Sprintf("%d ms", d.Milliseconds()) }

func cell(s string) string {
	return strings.ReplaceAll(strings.ReplaceAll(s, "\n", " "), "|", `\|`)
}
