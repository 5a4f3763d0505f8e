package bench_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"encoding/xml"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cloudjit/cloudjit/internal/experiment/bench"
	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/ladder"
	"github.com/cloudjit/cloudjit/internal/metadata"
)

var update = flag.Bool("update", false, "write the golden files")

func TestSpread(t *testing.T) {
	for _, c := range []struct {
		values []float64
		want   bench.Spread
	}{
		{nil, bench.Spread{}},
		{[]float64{7}, bench.Spread{N: 1, Min: 7, Median: 7, Max: 7}},
		{[]float64{9, 1, 2}, bench.Spread{N: 3, Min: 1, Median: 2, Max: 9}},
		{[]float64{4, 1, 9, 2}, bench.Spread{N: 4, Min: 1, Median: 3, Max: 9}},
	} {
		if got := bench.SpreadOf(c.values); got != c.want {
			t.Errorf("%v: got %+v, want %+v", c.values, got, c.want)
		}
	}
}

func TestAnswersOfAnAge(t *testing.T) {
	ages := []time.Duration{100 * time.Millisecond, 999 * time.Millisecond, time.Second, time.Second, 2 * time.Second}
	for _, c := range []struct {
		from, to time.Duration
		want     int
		rate     float64
	}{
		{0, time.Second, 2, 2},
		{0, 5 * time.Second, 5, 1},
		{time.Second, 2 * time.Second, 2, 2},
		{2 * time.Second, 4 * time.Second, 1, 0.5},
		{time.Minute, time.Second, 0, 0},
	} {
		if n, r := bench.Between(ages, c.from, c.to), bench.Rate(ages, c.from, c.to); n != c.want || r != c.rate {
			t.Errorf("%v to %v: got %d, %g a second, want %d, %g", c.from, c.to, n, r, c.want, c.rate)
		}
	}
}

// TestEveryElementIsOneParameter: what the metadata counts, Figure 2 shows, once.
func TestEveryElementIsOneParameter(t *testing.T) {
	set, err := metadata.Parse([]byte(`{
		"reflection": [
			{"type": "a.A", "methods": [{"name": "m", "parameterTypes": []}], "fields": [{"name": "f"}], "allDeclaredMethods": true, "unsafeAllocated": true, "serializable": true, "jniAccessible": true},
			{"type": {"proxy": ["a.I"]}}
		],
		"resources": [{"glob": "a/*.txt"}, {"bundle": "a.Messages"}]
	}`))
	if err != nil {
		t.Fatal(err)
	}
	counts, sum := set.Counts(), 0
	for _, p := range bench.Parameters {
		sum += p.Count(&counts)
	}
	if sum != counts.Total || counts.Total < 10 {
		t.Errorf("parameters add up to %d of %d elements: %v", sum, counts.Total, counts.ByKind)
	}
}

// fixture is a run with everything that a run can have: spread, a rung that failed, an
// application that could not be built, names that must be escaped.
func fixture() *bench.Result {
	rung := func(name function.Rung, runtime string, scale float64) *bench.Rung {
		t := &bench.Rung{Name: name, Runtime: runtime, Answers: 1000}
		for i := range 3 {
			x := scale * (1 + float64(i)/10)
			t.Add(bench.BareFirst, 900*x)
			t.Add(bench.PlatformFirst, 950*x)
			t.Add(bench.FirstSecond, 40/x)
			t.Add(bench.FirstFive, 4000/x)
			t.Add(bench.IdleMemory, 120*x)
			t.Add(bench.LoadMemory, 180.26*x)
			t.Add(bench.Peak, 3000*(2-x))
		}
		return t
	}
	counts := &metadata.Counts{Total: 11, ByKind: map[metadata.Kind]int{metadata.KindType: 5, metadata.KindMethod: 3, metadata.KindResource: 2, metadata.KindJNI: 1}}
	broken := rung(ladder.Native, "native image, quick build (-Ob)", 0.05)
	broken.Wrong, broken.FirstWrong = 3, "a page: status 500, want 200"
	return &bench.Result{
		Parts: []bench.Part{bench.Figure1, bench.Table1, bench.Figure2},
		Began: time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC), Ended: time.Date(2026, 11, 24, 12, 30, 5, 0, time.UTC),
		Command:  "cloudjit bench all --report out/bench",
		Machine:  bench.Machine{CPU: "A processor", Cores: 2, MemoryBytes: 24e9, Kernel: "6.12", OS: "Debian", LoadBefore: 0.1, LoadAfter: 1.5},
		Versions: bench.Versions{CloudJIT: "1.0", Builder: "native-image 25.0.2 (assembled, community)", JDK: "25.0.3 (Eclipse Adoptium)"},
		Settings: bench.Settings{Repeat: 3, Connections: 4, Settle: 3 * time.Second, PeakAfter: 15 * time.Second, PeakWindow: 5 * time.Second, ColdStarts: 3, Rungs: []function.Rung{ladder.AOTCache, ladder.Native}},
		Apps: []*bench.App{
			{
				Name: "shopcart", Archive: "shopcart.jar", ArchiveBytes: 12_500_000, SHA256: "0123456789abcdef", Kind: "web", Framework: "micronaut 4.10", MemoryMiB: 256, Requests: 6,
				Notes:    []string{"the binary of try 1 met an element that tracing had not seen, and was built again with it"},
				Rungs:    []*bench.Rung{rung(ladder.HotSpot, "JDK 25", 1), {Name: ladder.AOTCache, Runtime: "JDK 25 with an AOT cache", Failed: "train: the JVM left no cache"}, broken},
				Builds:   []bench.Build{{Rung: ladder.Native, Wall: 87 * time.Second, CPU: 160 * time.Second, RSS: 3_310_000_000, Size: 69_400_000, State: "succeeded"}},
				Metadata: counts,
			},
			{
				Name: "documents", Archive: "<&>.jar", ArchiveBytes: 67_000_000, SHA256: "fedcba9876543210", Kind: "web", Framework: "quarkus", MemoryMiB: 512, Requests: 4,
				Failed: []string{"no native: the build failed after 5m0s (user-error): <cannot> be built"},
				Rungs:  []*bench.Rung{rung(ladder.HotSpot, "JDK 25", 1.5)},
				Builds: []bench.Build{{Rung: ladder.Native, State: "failed", Reason: "user-error: <cannot> be built"}},
			},
		},
	}
}

func TestTablesAreGolden(t *testing.T) {
	r := fixture()
	var b bytes.Buffer
	for _, table := range bench.Tables(r) {
		b.WriteString("# " + table.Caption + "\n")
		if err := table.WriteText(&b); err != nil {
			t.Fatal(err)
		}
	}
	b.WriteString("# Problems\n" + strings.Join(bench.Problems(r), "\n") + "\n")
	golden := filepath.Join("testdata", "tables.txt")
	if *update {
		if err := os.WriteFile(golden, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if b.String() != string(want) {
		t.Errorf("got\n%s\nwant\n%s(go test ./internal/experiment/bench -update writes it)", b.String(), want)
	}
}

func TestReportIsWhole(t *testing.T) {
	dir := t.TempDir()
	if err := bench.Write(dir, fixture()); err != nil {
		t.Fatal(err)
	}
	html := read(t, dir, "report.html")
	for _, want := range []string{"aot-cache", "&lt;cannot&gt; be built", "wrong answers: 3 of 1000", "A processor", "cloudjit bench all --report out/bench"} {
		if !strings.Contains(html, want) {
			t.Errorf("%q is not in report.html", want)
		}
	}
	for _, name := range []string{"1a-memory", "1b-startup", "1c-startup-throughput", "1d-peak-throughput", "2-metadata"} {
		svg := read(t, dir, "figure-"+name+".svg")
		for d := xml.NewDecoder(strings.NewReader(svg)); ; {
			_, err := d.Token()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("figure-%s.svg: %v", name, err)
			}
		}
		if strings.Contains(svg, "NaN") || strings.Contains(svg, "Inf") {
			t.Errorf("figure-%s.svg draws what is no number", name)
		}
	}
	if md := read(t, dir, "tables.md"); !strings.Contains(md, "| shopcart | native | 87 | 160 | 3.31 | 69.4 |") {
		t.Errorf("tables.md lacks the build:\n%s", md)
	}
	for name, rows := range map[string]int{"measurements.csv": 3 * 3 * 7, "builds.csv": 2, "metadata.csv": len(bench.Parameters)} {
		records, err := csv.NewReader(strings.NewReader(read(t, dir, name))).ReadAll()
		if err != nil || len(records) != rows+1 {
			t.Errorf("%s: %d rows, want %d and a head: %v", name, len(records), rows, err)
		}
	}
	var again bench.Result
	if err := json.Unmarshal([]byte(read(t, dir, "result.json")), &again); err != nil || again.Apps[0].Rung("native").Of(bench.Peak) != fixture().Apps[0].Rung("native").Of(bench.Peak) {
		t.Errorf("result.json does not come back: %v", err)
	}
}

// TestARunThatWasCutShortReports: nothing measured yet is a report too.
func TestARunThatWasCutShortReports(t *testing.T) {
	r := fixture()
	r.Interrupted = true
	r.Apps[0].Rungs[0].Values, r.Apps[0].Rungs[2].Values, r.Apps[1].Rungs, r.Apps[0].Metadata, r.Apps[0].Builds = nil, nil, nil, nil, nil
	dir := t.TempDir()
	if err := bench.Write(dir, r); err != nil {
		t.Fatal(err)
	}
	if html := read(t, dir, "report.html"); !strings.Contains(html, "interrupted") || strings.Contains(html, "NaN") {
		t.Error("report.html does not say that the run was interrupted, or has what is no number")
	}
}

func read(t *testing.T, dir, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
