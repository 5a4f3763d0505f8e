package trace

import (
	"context"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func all(t testing.TB, tr Trace, o Options) []Invocation {
	t.Helper()
	var list []Invocation
	if err := ForEach(context.Background(), tr, o, func(inv Invocation) error {
		list = append(list, inv)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return list
}

func read(t testing.TB, paths ...string) (Trace, *Problems) {
	t.Helper()
	tr, problems, err := Read(context.Background(), ReadOptions{}, paths...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tr.Close() })
	return tr, problems
}

func TestExpansionKeepsCountsOrderAndSeed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 5).Draw(t, "functions")
		minutes := rapid.IntRange(1, 4).Draw(t, "minutes")
		functions := make([]Function, n)
		rows := make([]row, n)
		want := map[[2]int]uint32{}
		for f := range functions {
			functions[f] = Function{Name: fmt.Sprint(f), Trigger: Trigger(rapid.IntRange(0, 7).Draw(t, "trigger")), Duration: shaped(100, 0.5)}
			for m := range minutes {
				c := uint32(rapid.IntRange(0, 40).Draw(t, "count"))
				rows[f].add(m, c)
				if c > 0 {
					want[[2]int{f, m}] = c
				}
			}
		}
		tr := newRows(functions, rows, minutes, 0)
		o := Options{Seed: rapid.Uint64().Draw(t, "seed"), Placement: Placement(rapid.IntRange(0, 1).Draw(t, "placement"))}
		got := map[[2]int]uint32{}
		var list []Invocation
		s, _ := tr.Open(context.Background(), o)
		for buf, err := s.Next(nil); err != io.EOF; buf, err = s.Next(buf) {
			list = append(list, buf...)
		}
		for i, inv := range list {
			got[[2]int{int(inv.Function), int(inv.At / time.Minute)}]++
			if i > 0 && inv.At < list[i-1].At {
				t.Fatalf("invocation %d at %v is before its predecessor at %v", i, inv.At, list[i-1].At)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("counts (-want +got):\n%s", diff)
		}
		// A second pass is the same.
		s, _ = tr.Open(context.Background(), o)
		var again []Invocation
		for buf, err := s.Next(nil); err != io.EOF; buf, err = s.Next(buf) {
			again = append(again, buf...)
		}
		if !slices.Equal(list, again) {
			t.Fatal("two passes differ")
		}
	})
}

func TestTimersKeepTheirPhase(t *testing.T) {
	var r row
	for m := range 5 {
		r.add(m, 1)
	}
	tr := newRows([]Function{{Name: "tick", Trigger: TriggerTimer}}, []row{r}, 5, 0)
	list := all(t, tr, Options{Placement: PlaceUniform, Seed: 3})
	for i := 1; i < len(list); i++ {
		if got := list[i].At - list[i-1].At; got != time.Minute {
			t.Errorf("tick %d comes %v after the one before: want a minute", i, got)
		}
	}
}

func TestFunctionKeepsItsArrivalsWhenOthersAreCutAway(t *testing.T) {
	tr, _ := read(t, "testdata/azure2019")
	keep := make([]bool, len(tr.Functions()))
	keep[7], keep[20] = true, true
	part := Select(tr, keep)
	var want []Invocation
	for _, inv := range all(t, tr, Options{Seed: 9}) {
		switch inv.Function {
		case 7:
			inv.Function = 0
		case 20:
			inv.Function = 1
		default:
			continue
		}
		want = append(want, inv)
	}
	if got := all(t, part, Options{Seed: 9}); !slices.Equal(got, want) {
		t.Errorf("got %d invocations, want the %d of the whole trace", len(got), len(want))
	}
}

func TestDurationsHaveThePublishedMean(t *testing.T) {
	for _, d := range []Durations{
		shaped(250, 0.1), shaped(250, 0.5), shaped(250, 0.9),
		{Average: 195, Percentiles: [7]float64{48, 94, 125, 152, 207, 665, 2248}}, // a real one
		{Average: 928, Percentiles: [7]float64{125, 550, 713, 816, 979, 2626, 101008}},
		{Average: 5, Percentiles: [7]float64{5, 5, 5, 5, 5, 5, 5}},
	} {
		s := newSampler(&d)
		const n = 200_000
		sum := 0.0
		for i := range n {
			sum += float64(s.quantile((float32(i) + 0.5) / n))
		}
		if got := sum / n; math.Abs(got/d.Average-1) > 0.08 {
			t.Errorf("mean of %v is %.1f ms: want %.1f within 8%%", d.Percentiles, got, d.Average)
		}
	}
}

func TestWritersRoundTrip(t *testing.T) {
	tr, _ := read(t, "testdata/azure2019")
	o := Options{Seed: 4}
	want := all(t, tr, o)
	dir := t.TempDir()
	for _, name := range []string{"t.csv", "t.csv.gz", "t.parquet"} {
		path := filepath.Join(dir, name)
		if err := Write(context.Background(), path, tr, o); err != nil {
			t.Fatal(err)
		}
		back, problems := read(t, path)
		if list := problems.List(); len(list) > 0 {
			t.Errorf("%s: problems in what was written: %+v", name, list)
		}
		got := all(t, back, o)
		if len(got) != len(want) {
			t.Fatalf("%s: %d invocations: want %d", name, len(got), len(want))
		}
		for i := range got {
			g, w := &back.Functions()[got[i].Function], &tr.Functions()[want[i].Function]
			if g.Name != w.Name || g.App != w.App || g.Trigger != w.Trigger || g.MemoryMB != w.MemoryMB || got[i].At != want[i].At || got[i].Duration != want[i].Duration {
				t.Fatalf("%s: invocation %d is %+v of %+v: want %+v of %+v", name, i, got[i], g, want[i], w)
			}
		}
	}
	folder := filepath.Join(dir, "set")
	if err := Write(context.Background(), folder, tr, o); err != nil {
		t.Fatal(err)
	}
	back, _ := read(t, folder)
	if diff := cmp.Diff(tr.Functions(), back.Functions()); diff != "" {
		t.Errorf("functions (-want +got):\n%s", diff)
	}
	if got := all(t, back, o); !slices.Equal(got, want) {
		t.Error("the folder's invocations differ")
	}
}

func TestSeveralDaysRoundTrip(t *testing.T) {
	g, err := Generate{Functions: 60, Minutes: 2000, StartMinute: 1000, Seed: 5}.New()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := Write(context.Background(), dir, g, Options{}); err != nil {
		t.Fatal(err)
	}
	files, _ := filepath.Glob(filepath.Join(dir, "invocations.d*.csv"))
	if len(files) != 3 {
		t.Fatalf("%d files of days: want 3, %v", len(files), files)
	}
	back, problems := read(t, dir)
	if back.StartMinute() != 0 || back.Length() != 3*24*time.Hour {
		// The first file starts at its own minute, the others at midnight: whole days are laid out.
		t.Errorf("start %d, length %v: want midnight and three days; %+v", back.StartMinute(), back.Length(), problems.List())
	}
	want, got := all(t, g, Options{}), all(t, back, Options{})
	if len(want) != len(got) {
		t.Errorf("%d invocations: want %d", len(got), len(want))
	}
}

func TestSliceIsAWindow(t *testing.T) {
	counted, _ := read(t, "testdata/azure2019")
	recorded, _ := read(t, "testdata/azure2021/head.csv")
	for name, tr := range map[string]Trace{"counted": counted, "recorded": recorded} {
		from, to := 2*time.Minute, 5*time.Minute
		part, err := Slice(tr, from, to)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, inv := range all(t, tr, Options{}) {
			if inv.At >= from && inv.At < to {
				n++
			}
		}
		got := all(t, part, Options{})
		if len(got) != n || n == 0 || part.Length() != to-from {
			t.Errorf("%s: %d invocations in %v: want %d in %v", name, len(got), part.Length(), n, to-from)
		}
	}
	if _, err := Slice(counted, time.Second, time.Minute); err == nil {
		t.Error("a counted trace was cut inside a minute")
	}
}

func TestScaleKeepsPatternsOrTotals(t *testing.T) {
	g, err := Generate{Functions: 2000, Minutes: 60, Seed: 5}.New()
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	before, _ := Totals(ctx, g)
	for _, m := range []Method{ScaleStratified, ScaleApps} {
		part, err := Scale(ctx, g, m, 0.1, 1)
		if err != nil {
			t.Fatal(err)
		}
		if n := len(part.Functions()); n < 140 || n > 260 {
			t.Errorf("%s: %d functions of 2000 at a factor of 0.1", m, n)
		}
		after, _ := Totals(ctx, part)
		original := map[string]uint64{}
		for i, f := range g.Functions() {
			original[f.Name] = before[i]
		}
		for i, f := range part.Functions() {
			if after[i] != original[f.Name] {
				t.Fatalf("%s: %s has %d invocations: want all its %d", m, f.Name, after[i], original[f.Name])
			}
		}
	}
	part, _ := Scale(ctx, g, ScaleThin, 0.1, 1)
	after, _ := Totals(ctx, part)
	var a, b uint64
	for i := range before {
		b += before[i]
		a += after[i]
	}
	if r := float64(a) / float64(b); math.Abs(r-0.1) > 0.002 {
		t.Errorf("thin: kept %.4f of the invocations: want 0.1", r)
	}
	if _, err := Scale(ctx, g, "best", 0.1, 1); err == nil {
		t.Error("an unknown method was taken")
	}
}

func TestSpoolSortsBeyondMemory(t *testing.T) {
	s := spool{dir: t.TempDir()}
	rnd := newRandom(1)
	const n = 50_000
	for i := range n {
		if i%7919 == 7918 {
			if err := s.flush(); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.add(Invocation{At: time.Duration(rnd.next() % 1000), Function: int32(i)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.finish(); err != nil {
		t.Fatal(err)
	}
	defer s.close()
	st, err := s.open(context.Background(), 0)
	if err != nil {
		t.Fatal(err)
	}
	var list []Invocation
	for buf, err := st.Next(nil); err == nil; buf, err = st.Next(buf) {
		list = append(list, buf...)
	}
	if len(list) != n {
		t.Fatalf("%d invocations: want %d", len(list), n)
	}
	for i := 1; i < n; i++ {
		a, b := list[i-1], list[i]
		if a.At > b.At || a.At == b.At && a.Function > b.Function {
			t.Fatalf("%d: %+v before %+v", i, a, b)
		}
	}
	if left, _ := os.ReadDir(s.dir); len(left) > 0 {
		t.Errorf("%d files are left", len(left))
	}
}

func BenchmarkExpand(b *testing.B) {
	g, err := Generate{Minutes: 2, StartMinute: 480, Seed: 1}.New()
	if err != nil {
		b.Fatal(err)
	}
	n := 0
	var buf []Invocation
	for b.Loop() {
		s, _ := g.Open(context.Background(), Options{Seed: 1})
		for {
			var err error
			if buf, err = s.Next(buf); err != nil {
				break
			}
			n += len(buf)
		}
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "invocations/s")
}
