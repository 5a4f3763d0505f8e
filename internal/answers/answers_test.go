package answers

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cloudjit/cloudjit/internal/assets"
	"github.com/cloudjit/cloudjit/internal/config"
	"github.com/cloudjit/cloudjit/internal/ladder"
	"github.com/cloudjit/cloudjit/internal/toolchain"
)

var native, untraced = Column{Rung: ladder.Native}, Column{Rung: ladder.Native, Untraced: true}

func TestJudge(t *testing.T) {
	known := Known
	defer func() { Known = known }()
	Known = []Difference{{Feature: "text/*", Rung: ladder.Native, Why: "no such texts"}, {Feature: "new/*", Rung: ladder.Native, Untraced: true, Why: "not seen"}}
	for _, tt := range []struct {
		feature   string
		column    Column
		want, got Answer
		verdict   Verdict
		why       string
	}{
		{"a/b", native, Answer{Text: "x"}, Answer{Text: "x"}, Same, ""},
		{"a/b", untraced, Answer{Text: "x"}, Answer{Text: missing, Failed: true, SteppedBack: true}, SteppedBack, ""},
		{"a/b", native, Answer{Text: "x"}, Answer{Text: "y"}, Silent, `"y", not "x"`},
		{"a/b", native, Answer{Text: "x"}, Answer{Text: "Runtime.ExitError", Failed: true}, Silent, `error Runtime.ExitError, not "x"`},
		{"text/b", native, Answer{Text: "x"}, Answer{Text: "y"}, Documented, "no such texts"},
		{"new/b", untraced, Answer{Text: "x"}, Answer{Text: "y"}, Documented, "not seen"},
		{"new/b", native, Answer{Text: "x"}, Answer{Text: "y"}, Silent, `"y", not "x"`},
		{"text/b", Column{Rung: ladder.NativeProfiled}, Answer{Text: "x"}, Answer{Text: "y"}, Documented, "no such texts"},
		{"new/b", Column{Rung: ladder.NativeProfiled}, Answer{Text: "x"}, Answer{Text: "y"}, Silent, `"y", not "x"`},
		{"text/b", Column{Rung: ladder.AOTCache}, Answer{Text: "x"}, Answer{Text: "y"}, Silent, `"y", not "x"`},
	} {
		if got := Judge(tt.feature, tt.column, tt.want, tt.got); got.Verdict != tt.verdict || cmp.Or(got.Why, got.Differs) != tt.why {
			t.Errorf("Judge(%s, %s, %v, %v) = %v, want %v %q", tt.feature, tt.column, tt.want, tt.got, got, tt.verdict, tt.why)
		}
	}
}

// TestProblems: what varies on HotSpot, differs in silence, or is documented for nothing.
func TestProblems(t *testing.T) {
	known := Known
	defer func() { Known = known }()
	Known = []Difference{{Feature: "text/*", Rung: ladder.Native, Why: "met"}, {Feature: "gone/*", Rung: ladder.Native, Why: "not met"}}
	columns := []Column{native}
	rows := Compare("jdk", []string{"a/same", "a/varies", "a/silent", "text/x"},
		[2]map[string]Answer{
			{"a/same": {Text: "1"}, "a/varies": {Text: "1"}, "a/silent": {Text: "1"}, "text/x": {Text: "1"}},
			{"a/same": {Text: "1"}, "a/varies": {Text: "2"}, "a/silent": {Text: "1"}, "text/x": {Text: "1"}},
		}, columns,
		[]map[string]Answer{{"a/same": {Text: "1"}, "a/varies": {Text: "1"}, "a/silent": {Text: "2"}, "text/x": {Text: "2"}}})
	got := Problems(rows, columns, true)
	want := []string{
		`jdk a/varies varies on HotSpot: "1" and "2"`,
		`jdk a/silent on native: "2", not "1"`,
		`known.go: gone/* on native does not differ any more: remove the entry`,
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := Problems(rows, columns, false); len(got) != 2 {
		t.Errorf("got %q: a part of the columns says nothing of what is documented", got)
	}
	page := Markdown(rows, columns)
	for _, line := range []string{"| native | 1 | 0 | 1 | 1 | 1 |\n", "| text/x | native | documented | met |\n", `| a/silent | native | **another answer** | "2", not "1" |` + "\n", "- **a** (3): same, varies, silent\n"} {
		if !strings.Contains(page, line) {
			t.Errorf("%q is not in\n%s", line, page)
		}
	}
}

// TestMerge: columns that were asked apart stand in one table, and what was asked again replaces what was known.
func TestMerge(t *testing.T) {
	known := Known
	defer func() { Known = known }()
	Known = nil
	days := []time.Time{time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC), time.Date(2026, 11, 2, 0, 0, 0, 0, time.UTC)}
	asked := func(c Column, cells map[string]Verdict) *Result {
		r := &Result{Columns: []Column{c}}
		for _, feature := range slices.Sorted(maps.Keys(cells)) {
			cell := Cell{Verdict: cells[feature]}
			if cell.Verdict == Silent {
				cell.Differs = `"1", not "2"`
			}
			r.Rows = append(r.Rows, Row{Group: "jdk", Feature: feature, Cells: []Cell{cell}})
		}
		return r
	}
	var k Kept
	k.Merge("jdk", asked(native, map[string]Verdict{"a/old": Same, "a/x": Silent, "a/y": SteppedBack}), days[0])
	k.Merge("jdk", asked(untraced, map[string]Verdict{"a/x": SteppedBack, "a/y": SteppedBack, "a/z": Silent}), days[0])
	k.Merge("jdk", asked(native, map[string]Verdict{"a/x": Same, "a/y": SteppedBack, "a/z": Same}), days[1])
	folder := t.TempDir()
	if err := k.Save(folder); err != nil {
		t.Fatal(err)
	}
	kept, err := LoadKept(folder)
	if err != nil {
		t.Fatal(err)
	}
	if len(kept) != len(Groups) || !reflect.DeepEqual(kept[0], k) {
		t.Errorf("got %+v, want %+v first", kept, k)
	}
	var got []string
	for _, row := range Table(kept) {
		verdict := func(c Column) Verdict { return row.Cells[slices.Index(Columns, c)].Verdict }
		got = append(got, fmt.Sprint(row.Feature, " ", verdict(native), "/", verdict(untraced)))
	}
	if want := []string{"a/x same/stepped back", "a/y stepped back/stepped back", "a/z same/**another answer**"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	page := Page(kept)
	for _, line := range []string{"| jdk | native | 2026-11-02 | 2 | 1 | 0 | 0 | 0 |\n", "| jdk | native, not traced | 2026-11-01 | 0 | 2 | 0 | 1 | 0 |\n", `| a/z | native, not traced | **another answer** | "1", not "2" |` + "\n"} {
		if !strings.Contains(page, line) {
			t.Errorf("%q is not in\n%s", line, page)
		}
	}
}

const (
	keptFolder = "../../docs/results"
	page       = "../../docs/same-answers.md"
)

// TestPage: the page is what is kept, and no difference of it is silent.
func TestPage(t *testing.T) {
	kept, err := LoadKept(keptFolder)
	if err != nil {
		t.Fatal(err)
	}
	complete := true
	for _, k := range kept {
		complete = complete && len(k.Columns) == len(Columns)
	}
	for _, p := range Problems(Table(kept), Columns, complete) {
		t.Error(p)
	}
	want := Page(kept)
	if os.Getenv("UPDATE") != "" {
		if err := os.WriteFile(page, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got := content(t, page); string(got) != want {
		t.Errorf("%s is not what docs/results says: run with UPDATE=1", page)
	}
}

// TestSameAnswers makes docs/same-answers.md: binaries of each group, and hundreds of starts, so only where it is
// asked for ("make same-answers"). CLOUDJIT_SAME_ANSWERS is the folder that what is made is kept in.
// CLOUDJIT_SAME_ANSWERS_GROUP and CLOUDJIT_SAME_ANSWERS_RUNG, if set, are the only group and the only column to ask ("native",
// "native-not-traced"); the rest of the page stays.
func TestSameAnswers(t *testing.T) {
	work := os.Getenv("CLOUDJIT_SAME_ANSWERS")
	if work == "" {
		t.Skip("takes hours: run it with \"make same-answers\"")
	}
	builders, _ := toolchain.Find(toolchain.FindOptions{Cache: config.CacheDir()})
	if len(builders) == 0 {
		t.Fatal("there is no native-image: run \"cloudjit toolchain install\"")
	}
	only, column := os.Getenv("CLOUDJIT_SAME_ANSWERS_GROUP"), os.Getenv("CLOUDJIT_SAME_ANSWERS_RUNG")
	if only != "" && !slices.ContainsFunc(Groups, func(g Group) bool { return g.Name == only }) {
		t.Fatalf("there is no group %q", only)
	}
	if column != "" && !slices.ContainsFunc(Columns, func(c Column) bool { return c.file() == column }) {
		t.Fatalf("there is no column %q", column)
	}
	for i, g := range Groups {
		if only != "" && g.Name != only {
			continue
		}
		r := ask(t, work, g, func(c Column) bool { return column == "" || c.file() == column })
		for _, p := range Problems(r.Rows, r.Columns, false) {
			t.Error(p)
		}
		kept, err := LoadKept(keptFolder)
		if err != nil {
			t.Fatal(err)
		}
		kept[i].Merge(g.Name, r, time.Now())
		if err := kept[i].Save(keptFolder); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(page, []byte(Page(kept)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// TestAnswersInCI asks what there is time for: every feature of the JDK on HotSpot, while the tracer records, and with an
// AOT cache. Binaries, and libraries, are for "make same-answers".
func TestAnswersInCI(t *testing.T) {
	if testing.Short() {
		t.Skip("thousands of invocations")
	}
	var rows []Row
	var columns []Column
	for _, g := range Groups {
		if g.Module != "jdk" {
			continue
		}
		builders, _ := toolchain.Find(toolchain.FindOptions{Cache: config.CacheDir()})
		r := ask(t, filepath.Join(config.CacheDir(), "same-answers-ci"), g, func(c Column) bool {
			return !c.traced() && (!c.Recording || len(builders) > 0) // the tracer records for a builder
		})
		for _, p := range Problems(r.Rows, r.Columns, false) {
			t.Error(p)
		}
		rows, columns = append(rows, r.Rows...), r.Columns
	}
	if len(rows) < 380 || len(columns) < 2 {
		t.Errorf("only %d features in %v", len(rows), columns)
	}
}

// few is the group of which there is time for a binary in CI.
var few = Group{"few", "jdk", "features.JdkFew", "what the builder's patches are for"}

// TestFewNatively asks a binary of few features, traced ones: it is kept by what it is made of.
func TestFewNatively(t *testing.T) {
	if testing.Short() {
		t.Skip("makes a binary")
	}
	if builders, _ := toolchain.Find(toolchain.FindOptions{Cache: config.CacheDir()}); len(builders) == 0 {
		t.Skip("SKIPPED: there is no native-image: run \"cloudjit toolchain install\"")
	}
	r := ask(t, filepath.Join(config.CacheDir(), "same-answers-ci"), few, func(c Column) bool { return c == native })
	for _, p := range Problems(r.Rows, r.Columns, false) {
		t.Error(p)
	}
	var back []string
	for _, row := range r.Rows {
		if len(row.Cells) == 1 && row.Cells[0].Verdict == SteppedBack {
			back = append(back, row.Feature)
		}
	}
	// What no binary can do ends with a sign, though the program catches the error.
	if want := []string{"few/words-of-thai", "few/lines-of-thai", "few/metafactory", "few/own-loader"}; !slices.Equal(back, want) {
		t.Errorf("stepped back: %q, want %q", back, want)
	}
}

// ask runs a group.
func ask(t *testing.T, work string, g Group, wanted func(Column) bool) *Result {
	t.Helper()
	archive, err := Archive(filepath.Join("java", g.Module))
	if err != nil {
		t.Skipf("SKIPPED: %v: run \"make features\"", err)
	}
	made := [][]byte{archive}
	for _, name := range []string{assets.Runtime, assets.Serialization, assets.Tracer, assets.Image} {
		file, err := assets.Install(t.TempDir(), name)
		if err != nil {
			t.Skip("SKIPPED: " + err.Error())
		}
		made = append(made, content(t, file))
	}
	for _, jdk := range toolchain.FindJDKs(toolchain.FindOptions{}) {
		made = append(made, []byte(jdk.Home))
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	r, err := Run(t.Context(), Config{
		Archive: archive, Key: HashOf(made...), Platform: HashOf(content(t, self)), Cache: config.CacheDir(), Work: work, Wanted: wanted, Exclusive: exclusive,
		Log: func(s string) { fmt.Fprintln(os.Stderr, time.Now().Format(time.TimeOnly), s) },
	}, g)
	if err != nil {
		t.Fatal(err)
	}
	for column, why := range r.Unmade {
		t.Errorf("%s, %s: %s", g.Name, column, why)
	}
	return r
}

// exclusive lets one test at a time build on the machine.
func exclusive() (func(), error) {
	file := cmp.Or(os.Getenv("CLOUDJIT_NATIVE_LOCK"), filepath.Join(os.TempDir(), "cloudjit-native.lock"))
	lock, err := os.OpenFile(file, os.O_CREATE|os.O_RDWR, 0o666)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		lock.Close()
		return nil, err
	}
	return func() { lock.Close() }, nil
}

func content(t *testing.T, file string) []byte {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
