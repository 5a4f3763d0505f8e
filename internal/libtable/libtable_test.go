package libtable

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cloudjit/cloudjit/internal/metadata"
	"github.com/cloudjit/cloudjit/internal/toolchain"
)

func TestJudge(t *testing.T) {
	exit := exec.Command("sh", "-c", "exit 3").Run()
	hint := "Error: Cannot reflectively access the class 'a.B'. To allow this operation, add the following to the 'reflection' section of 'reachability-metadata.json' and rebuild the native image:\n{\"type\": \"a.B\"}\n"
	tests := []struct {
		want, got string
		err       error
		reason    string
	}{
		{"a\n", "a\n", nil, ""},
		{"a\nb\n", "a\nc\n", nil, `another answer: line 2 is "c", not "b"`},
		{"a\n", "a\nmore\n", nil, `another answer: line 2 is "more", not ""`},
		{"a\n", hint, exit, "missing metadata: Cannot reflectively access the class 'a.B'"},
		{"a\n", "x\nfailed: java.lang.Error: why\n\tat y\n", exit, "exit status 3: failed: java.lang.Error: why"},
		{"a\n", "x\nlast\n", exit, "exit status 3: last"},
		{"a\n", "", errors.New("no such file"), "no such file"},
	}
	for _, tt := range tests {
		if got := judge(tt.want, tt.got, tt.err); got != tt.reason {
			t.Errorf("judge(%q, %q, %v) = %q, want %q", tt.want, tt.got, tt.err, got, tt.reason)
		}
	}
}

func TestMarkdown(t *testing.T) {
	got := Markdown([]Result{
		{Case: Case{Name: "a", What: "Library A"}, Elements: 12, HotSpot: 1500 * time.Millisecond, Traced: 2 * time.Second, Native: 30 * time.Millisecond},
		{Case: Case{Name: "b", What: "Library B"}, Reason: "x | y\nz"},
	})
	for _, want := range []string{
		"1 of 2 pass.",
		"| Library A | yes | 12 | 1500 ms | 2000 ms | 30 ms |  |\n",
		`| Library B | **no** | 0 | 0 ms | 0 ms | 0 ms | x \| y z |`,
	} {
		if !strings.Contains(got, want) {
			t.Errorf("Markdown = %s\nwant %q in it", got, want)
		}
	}
}

// TestLibraryTable makes docs/library-table.md: minutes of building for each group, so only
// where it is asked for ("make library-table"). CLOUDJIT_LIBRARY_TABLE is the folder that what
// is made is kept in; CLOUDJIT_LIBRARY_GROUP, if set, the only group to make, without writing
// the table.
func TestLibraryTable(t *testing.T) {
	work := os.Getenv("CLOUDJIT_LIBRARY_TABLE")
	if work == "" {
		t.Skip("builds native images: run it with \"make library-table\"")
	}
	builders, _ := toolchain.Find(toolchain.FindOptions{Cache: os.Getenv("CLOUDJIT_CACHE")})
	if len(builders) == 0 {
		t.Fatal("there is no native-image: run \"cloudjit toolchain install auto\"")
	}
	cases, err := filepath.Abs("java/target")
	if err != nil {
		t.Fatal(err)
	}
	libraries, err := filepath.Glob(filepath.Join(cases, "lib", "*.jar"))
	if err != nil || len(libraries) == 0 {
		t.Fatalf("no libraries in %s: %v", cases, err)
	}
	files, err := filepath.Abs("../assets/files")
	if err != nil {
		t.Fatal(err)
	}
	config := Config{
		NativeImage: builders[0].NativeImage(), Java: builders[0].Java(), Tracer: metadata.Tracer{Jar: filepath.Join(files, "tracer.jar")}, Image: filepath.Join(files, "image.jar"),
		ClassPath: append([]string{filepath.Join(cases, "library-cases-1.0.0.jar")}, libraries...),
		Work:      work,
		Exclusive: exclusive,
		Log:       func(s string) { fmt.Fprintln(os.Stderr, time.Now().Format(time.TimeOnly), s) },
	}
	only := os.Getenv("CLOUDJIT_LIBRARY_GROUP")
	var all []Result
	for _, group := range Groups {
		if only != "" && group.Main != only {
			continue
		}
		results, err := Run(t.Context(), config, group)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, results...)
	}
	table := Markdown(all)
	t.Log("\n" + table)
	if only == "" {
		if err := os.WriteFile("../../docs/library-table.md", []byte(table), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// exclusive lets one native-image build run on the machine at a time.
func exclusive() (func(), error) {
	lock, err := os.OpenFile(filepath.Join(os.TempDir(), "cloudjit-native.lock"), os.O_CREATE|os.O_RDWR, 0o666)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		lock.Close()
		return nil, err
	}
	return func() { lock.Close() }, nil
}
