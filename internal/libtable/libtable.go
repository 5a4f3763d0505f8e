// Package libtable compares native images with HotSpot on popular Java libraries.
//
// For each library there is a small Java program (java/). It runs on HotSpot, plain and traced;
// it is built with exact metadata from CloudJIT's tracer alone (what the libraries' jars bring
// is left out); it runs as a native image; and all three must print the same. Programs share
// images, but not metadata: what the tracer saw of one holds only where that one runs. The
// package serves no platform: it is how the tracer is judged, and writes docs/library-table.md.
package libtable

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/cloudjit/cloudjit/internal/aot/nativeimage"
	"github.com/cloudjit/cloudjit/internal/metadata"
)

// Group is the cases that share one image: builds are what takes the time.
type Group struct {
	// Main is the class that runs the case that its argument names.
	Main  string
	Cases []Case
	// Control, if not empty, is an argument for what the image must refuse, because only
	// another case has metadata for it.
	Control string
}

// Case is one program.
type Case struct {
	// Name is the argument that chooses it.
	Name string
	// Class is what runs then, in the package of Main: its metadata is on condition of it.
	Class string
	// What is the library and what is done with it, for the table.
	What string
}

// Groups are all cases.
var Groups = []Group{
	{"cases.Platform", []Case{
		{"reflection", "Reflection", "JDK: classes, constructors, methods, fields, records, sealed types, arrays by name"},
		{"method-handles", "Handles", "JDK: method handles and VarHandles"},
		{"serialization", "Serialization", "JDK: object streams with records, enums, externalizable, lambdas, proxies"},
		{"proxies", "Proxies", "JDK: dynamic proxies"},
		{"lambdas", "Lambdas", "JDK: classes of lambdas"},
		{"images", "Images", "JDK: drawing, text and image formats (AWT without a screen, ImageIO)"},
		{"resources", "ResourcesCase", "JDK: resources, present and absent"},
		{"bundles", "Bundles", "JDK: resource bundles"},
		{"services", "ServiceLoading", "JDK: ServiceLoader"},
		{"missing", "Missing", "JDK: classes, members and resources that do not exist"},
		{"storm", "Storm", "JDK: 16 threads that reflect at once"},
		{"jdk-xml", "JdkXml", "JDK: DOM, SAX, StAX, XPath, XSLT"},
		{"jdk-beans", "JdkBeans", "JDK: Introspector and MBeans"},
		{"jdk-services", "JdkServices", "JDK: resolvers, charsets, calendars, formats, security and other providers"},
		{"annotations", "Annotations", "JDK: annotations, generic signatures, parameter names"},
	}, "control"},
	{"cases.Json", []Case{
		{"jackson", "Jackson", "Jackson 2.19: records, polymorphism, beans, enums, modules"},
		{"gson", "GsonCase", "Gson 2.13: records, fields, generic types"},
		{"xstream", "XStreamCase", "XStream 1.4: objects by fields"},
		{"jaxb", "Jaxb", "JAXB 4.0: annotated beans"},
		{"lambda-events", "LambdaEvents", "AWS Lambda events 3.16 with their serializers"},
	}, ""},
	{"cases.Services", []Case{
		{"logback", "Logback", "SLF4J 2.0 with logback 1.5"},
		{"h2", "H2", "H2 2.3: database in memory"},
		{"postgresql", "PostgreSql", "PostgreSQL driver 42.7: loading, a connection that fails"},
		{"sqlite", "Sqlite", "SQLite driver 3.50: a native library in the jar"},
		{"httpclient5", "HttpClient5", "Apache HttpClient 5.5"},
		{"hibernate-validator", "HibernateValidator", "Hibernate Validator 8.0 with Expressly"},
		{"thymeleaf", "ThymeleafCase", "Thymeleaf 3.1 with OGNL"},
		{"jakarta-mail", "Mail", "Jakarta Mail 2.0 (Angus)"},
		{"aws-sdk", "AwsSdk", "AWS SDK 2.32: DynamoDB"},
	}, ""},
}

// Config says what to compare with.
type Config struct {
	NativeImage string // the builder's command
	Java        string // of the JDK that the builder's images stand for
	Tracer      metadata.Tracer
	Image       string // the JAR of java/image
	// ClassPath is the cases and their libraries, as files.
	ClassPath []string
	// Work is a folder for everything that is made. What an earlier run of the same inputs made
	// there is used again, so that an interrupted one goes on where it was.
	Work string
	// Exclusive waits until nothing else is built on the machine, and returns its release.
	Exclusive func() (release func(), err error)
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

// caseTime is the longest that one run may take, and buildTime that of one build.
const (
	caseTime  = 2 * time.Minute
	buildTime = 40 * time.Minute
)

// Run makes the rows of one group.
func Run(ctx context.Context, c Config, group Group) ([]Result, error) {
	traced, err := key([]string{c.Java}, append([]string{c.Tracer.Jar}, c.ClassPath...))
	if err != nil {
		return nil, err
	}
	work := filepath.Join(c.Work, "hotspot-"+traced, group.Main)
	results := make([]Result, len(group.Cases))
	want := make([]string, len(group.Cases))
	var known *metadata.Set
	for i, cs := range group.Cases {
		o, err := c.hotspot(ctx, work, group.Main, cs)
		if err != nil {
			return nil, fmt.Errorf("run %s on HotSpot: %w", cs.Name, err)
		}
		set, err := metadata.Parse(o.Trace)
		if err != nil {
			return nil, fmt.Errorf("trace of %s: %w", cs.Name, err)
		}
		results[i] = Result{Case: cs, Reason: o.Reason, Elements: set.Len(), HotSpot: o.HotSpot, Traced: o.Traced}
		want[i] = o.Output
		known = metadata.Merge(known, set.When(cs.class(group)).ForImage())
	}
	image, err := c.build(ctx, group.Main, known)
	if err != nil {
		c.Log(err.Error())
		for i := range results {
			results[i].Reason = "its image cannot be built: " + firstFailure(err.Error())
		}
		return results, nil
	}
	if group.Control != "" {
		output, _ := c.native(ctx, work, image, group.Control)
		if _, ok := metadata.ParseMissing(output); !ok {
			return nil, fmt.Errorf("%s shares its cases' metadata among them, so the table would say nothing: %s", group.Main, output)
		}
	}
	for i := range results {
		r := &results[i]
		c.Log("running " + r.Name + " natively")
		start := time.Now()
		got, err := c.native(ctx, work, image, r.Name)
		r.Native = time.Since(start)
		if r.Reason == "" {
			r.Reason = judge(want[i], got, err)
		}
	}
	return results, nil
}

// native runs a case as CloudJIT's native workers are run.
func (c Config) native(ctx context.Context, work, image, name string) (string, error) {
	return run(ctx, caseTime, work, image, name, "-XX:MissingRegistrationReportingMode=Exit", "-Djava.home="+filepath.Dir(filepath.Dir(c.Java)))
}

func (c Case) class(group Group) string {
	return group.Main[:strings.LastIndexByte(group.Main, '.')+1] + c.Class
}

// key is a hash of words and of the content of files.
func key(words, files []string) (string, error) {
	h := sha256.New()
	fmt.Fprintln(h, strings.Join(words, "\n"))
	for _, path := range files {
		f, err := os.Open(path)
		if err != nil {
			return "", err
		}
		fmt.Fprintln(h, filepath.Base(path))
		_, err = io.Copy(h, f)
		f.Close()
		if err != nil {
			return "", fmt.Errorf("read %s: %w", path, err)
		}
	}
	return hex.EncodeToString(h.Sum(nil))[:16], nil
}

// observation is what HotSpot showed of a case, as it is kept.
type observation struct {
	Output, Reason  string
	HotSpot, Traced time.Duration
	Trace           []byte
}

// hotspot runs a case plain and traced; a tracer that changes the answer is a failure of the row.
func (c Config) hotspot(ctx context.Context, work, main string, cs Case) (observation, error) {
	var o observation
	kept := filepath.Join(work, cs.Name+".json")
	if data, err := os.ReadFile(kept); err == nil && json.Unmarshal(data, &o) == nil {
		return o, nil
	}
	c.Log("running " + cs.Name + " on HotSpot")
	trace := filepath.Join(work, "trace", cs.Name)
	if err := errors.Join(os.RemoveAll(trace), os.MkdirAll(trace, 0o755)); err != nil {
		return o, err
	}
	option, err := c.Tracer.JVMOption(trace, "", 0)
	if err != nil {
		return o, err
	}
	classPath := strings.Join(c.ClassPath, string(os.PathListSeparator))
	start := time.Now()
	if o.Output, err = run(ctx, caseTime, work, c.Java, "-cp", classPath, main, cs.Name); err != nil {
		return o, fmt.Errorf("%w: %s", err, o.Output)
	}
	o.HotSpot = time.Since(start)
	start = time.Now()
	traced, err := run(ctx, caseTime, work, c.Java, option, "-cp", classPath, main, cs.Name)
	o.Traced = time.Since(start)
	if reason := judge(o.Output, traced, err); reason != "" {
		o.Reason = "traced on HotSpot: " + reason
	}
	if o.Trace, err = os.ReadFile(filepath.Join(trace, metadata.TraceFile)); err != nil {
		return o, err
	}
	data, err := json.Marshal(o)
	if err != nil {
		return o, err
	}
	return o, os.WriteFile(kept, data, 0o644)
}

var imageOptions = []string{"-Ob", "--exact-reachability-metadata", "--no-fallback", "-J-Xmx6g",
	"-H:+UnlockExperimentalVMOptions", "-H:+AddAllCharsets", "--enable-url-protocols=http,https", // as CloudJIT's builder does
	// Only the tracer's metadata counts here; the libraries' other settings are kept.
	"--exclude-config", `.*\.jar`, `.*META-INF/native-image/.*\.json`}

// build makes the image in a folder of its own, which gets its name when it is whole.
func (c Config) build(ctx context.Context, main string, known *metadata.Set) (string, error) {
	inputs, err := key(append([]string{c.NativeImage, main, known.Hash()}, imageOptions...), append([]string{c.Image}, c.ClassPath...))
	if err != nil {
		return "", err
	}
	work := filepath.Join(c.Work, "native-"+inputs)
	image := filepath.Join(work, "image", "cases")
	if _, err := os.Stat(image); err == nil {
		return image, nil
	}
	making := filepath.Join(work, "image.tmp")
	folder := filepath.Join(work, "metadata", "META-INF", "native-image", "dev.cloudjit", "trace")
	if err := errors.Join(os.RemoveAll(making), os.MkdirAll(making, 0o755), os.MkdirAll(folder, 0o755)); err != nil {
		return "", err
	}
	lambdas, rest := known.SplitLambdas()
	if err := os.WriteFile(filepath.Join(folder, metadata.TraceFile), rest.JSON(), 0o644); err != nil {
		return "", err
	}
	features, err := nativeimage.ImageOptions(lambdas, work)
	if err != nil {
		return "", err
	}
	release, err := c.Exclusive()
	if err != nil {
		return "", err
	}
	defer release()
	c.Log("building " + main)
	classPath := strings.Join(append([]string{filepath.Join(work, "metadata"), c.Image}, c.ClassPath...), string(os.PathListSeparator))
	args := append(slices.Concat(imageOptions, features), "-cp", classPath, "-o", filepath.Join(making, "cases"), main)
	if output, err := run(ctx, buildTime, work, c.NativeImage, args...); err != nil {
		return "", fmt.Errorf("build %s: %w\n%s", main, err, tail(output, 8000))
	}
	return image, os.Rename(making, filepath.Dir(image))
}

// run returns what a command prints to its standard output.
func run(ctx context.Context, longest time.Duration, dir, path string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, longest)
	defer cancel()
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

// firstFailure finds the line that says most: what Case.main or the builder prints, else the last.
func firstFailure(output string) string {
	var last string
	for line := range strings.Lines(output) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "failed: ") || strings.HasPrefix(line, "Error: ") {
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
Rows share %d images, but each row's metadata is on condition that its own function runs (but for
serializable types: native-image 25 fails at those); that this holds is checked with a function that
has none and must be refused.
%d of %d pass. Times are those of one whole run of the process on the machine that made the table.
`+"`make library-table`"+` makes it again.

| function | passes | elements traced | HotSpot | traced | native | why not |
|---|---|---:|---:|---:|---:|---|
`, len(Groups), passed, len(results))
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
