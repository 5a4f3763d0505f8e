package trace

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
)

const (
	durationsHeader = "HashOwner,HashApp,HashFunction,Average,Count,Minimum,Maximum,percentile_Average_0,percentile_Average_1,percentile_Average_25,percentile_Average_50,percentile_Average_75,percentile_Average_99,percentile_Average_100\n"
	memoryHeader    = "HashOwner,HashApp,SampleCount,AverageAllocatedMb,AverageAllocatedMb_pct1,AverageAllocatedMb_pct5,AverageAllocatedMb_pct25,AverageAllocatedMb_pct50,AverageAllocatedMb_pct75,AverageAllocatedMb_pct95,AverageAllocatedMb_pct99,AverageAllocatedMb_pct100\n"
)

func write(t testing.TB, dir string, files map[string]string) string {
	t.Helper()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestReadRealExcerpts(t *testing.T) {
	tr, problems := read(t, "testdata/azure2019")
	if n := len(tr.Functions()); n != 40 || tr.Length() != time.Hour || tr.StartMinute() != 479 {
		t.Errorf("%d functions, %v from minute %d: want 40, an hour from 479", n, tr.Length(), tr.StartMinute())
	}
	if got := len(all(t, tr, Options{})); got != 23355 {
		t.Errorf("%d invocations: want 23355, the sum of the file's counts", got)
	}
	if list := problems.List(); len(list) != 0 {
		t.Errorf("problems in sound files: %+v", list)
	}
	tr, _ = read(t, "testdata/azure2021/head.csv")
	if n := len(all(t, tr, Options{})); n != 200 {
		t.Errorf("%d invocations of 2021: want 200", n)
	}
}

// TestReadProblems holds the policy of every irregularity.
func TestReadProblems(t *testing.T) {
	dir := write(t, t.TempDir(), map[string]string{
		"invocations_per_function_md.anon.d01.csv": "\xef\xbb\xbfHashOwner,HashApp,HashFunction,Trigger,1,2,3\r\n" +
			"o,a,f1,http,1,2,3\r\n" +
			"o,a,f1,http,1,2,3\r\n" + // repeated
			"o,a,f1,queue,1,0,0\r\n" + // doubled: added
			"o,a,f2,timer,1,x,3\r\n" + // malformed
			"o,a,f2,timer,1,2\r\n" + // malformed
			"o,a,f3,moon,0,5.0,\r\n" + // unknown trigger; a fraction of zero and an empty field pass
			"o,b,f4,http,0,0,1\r\n" +
			strings.Repeat("y", maxLine+5) + "\r\n" +
			"o,b,f5,http,-1,0,1\r\n" + // malformed
			"o,b,\"f,6\",http,0,0,1", // quoted, no end of line
		"function_durations_percentiles.anon.d01.csv": durationsHeader +
			"o,a,f1,10,5,0,0,1,1,5,9,12,30,40\n" +
			"o,a,f1,20,9,0,0,1,1,5,9,12,30,40\n" + // doubled: more samples, kept
			"o,a,f3,10,5,0,0,-1,1,50,9,12,30,40\n" + // negative and unsorted
			"o,b,f4,NaN,5,0,0,1,1,5,9,12,30,40\n" + // malformed
			"o,z,gone,10,5,0,0,1,1,5,9,12,30,40\n", // no partner
		"app_memory_percentiles.anon.d01.csv": memoryHeader +
			"o,a,7,120,1,1,1,1,1,1,1,1\n" +
			"o,q,7,120,1,1,1,1,1,1,1,1\n",
		"README.md": "not a trace",
	})
	tr, problems, err := Read(context.Background(), ReadOptions{}, dir)
	if err != nil {
		t.Fatal(err)
	}
	want := map[Kind]int{
		MalformedRow: 4, LongLine: 1, RepeatedRow: 1, DoubledFunction: 2, UnknownTrigger: 1, NoDuration: 2,
		NoMemory: 2, NoInvocations: 2, NegativeValue: 1, UnsortedPercentiles: 1, IgnoredFile: 1,
	}
	for _, p := range problems.List() {
		if want[p.Kind] != p.Count {
			t.Errorf("%s: %d: want %d; %v", p.Kind, p.Count, want[p.Kind], p.Examples)
		}
		if p.Policy == "" || len(p.Examples) == 0 {
			t.Errorf("%s has no policy or no example", p.Kind)
		}
		delete(want, p.Kind)
	}
	if len(want) > 0 {
		t.Errorf("not reported: %v", want)
	}
	byName := map[string]Function{}
	for _, f := range tr.Functions() {
		byName[f.Name] = f
	}
	if len(byName) != 4 {
		t.Errorf("functions %v: want f1, f3, f4 and f,6", byName)
	}
	if f := byName["f1"]; f.Duration.Average != 20 || f.MemoryMB != 60 {
		t.Errorf("f1 is %+v: want an average of 20 ms and half of the app's 120 MB", f)
	}
	if f := byName["f4"]; !f.DurationAssumed || f.Duration.Average != 20 || !f.MemoryAssumed || f.MemoryMB != 60 {
		t.Errorf("f4 is %+v: want the median http function's duration and the median memory", f)
	}
	if n := len(all(t, tr, Options{})); n != 7+5+1+1 {
		t.Errorf("%d invocations: want 14", n)
	}
	whole, _, _ := Read(context.Background(), ReadOptions{WholeAppMemory: true}, dir)
	if m := whole.Functions()[0].MemoryMB; m != 120 {
		t.Errorf("with the whole app's memory f1 has %g MB: want 120", m)
	}
}

func TestReadDaysInAnyOrder(t *testing.T) {
	dir := write(t, t.TempDir(), map[string]string{
		"invocations_per_function_md.anon.d03.csv": "HashOwner,HashApp,HashFunction,Trigger,1,2\no,a,f,http,0,7\n",
		"invocations_per_function_md.anon.d02.csv": "HashOwner,HashApp,HashFunction,Trigger,1,2\no,a,f,http,1,0\n",
	})
	tr, _ := read(t, filepath.Join(dir, "invocations_per_function_md.anon.d03.csv"), filepath.Join(dir, "invocations_per_function_md.anon.d02.csv"))
	list := all(t, tr, Options{Placement: PlaceEven})
	if len(list) != 8 || list[0].At >= time.Minute || list[1].At < 1441*time.Minute || tr.Length() != 1442*time.Minute {
		t.Errorf("%v in %v", list, tr.Length())
	}
}

func TestReadRecordedProblems(t *testing.T) {
	dir := write(t, t.TempDir(), map[string]string{"t.csv": "duration,function,start,extra\n" +
		"0.5,f,10,x\n-1,f,2,x\n1,g,-3,x\n1,,3,x\n1,f,inf,x\n1,f\n1,f,1e300,x\n"})
	tr, problems := read(t, filepath.Join(dir, "t.csv"))
	got := all(t, tr, Options{})
	want := []Invocation{{0, time.Second, 1}, {5 * time.Second, 0, 0}, {13 * time.Second, time.Second / 2, 0}}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if m, n, b := problems.Count(MalformedRow), problems.Count(NegativeValue), problems.Count(BeforeStart); m != 4 || n != 1 || b != 1 {
		t.Errorf("%d malformed, %d negative, %d before the start: want 4, 1, 1: %+v", m, n, b, problems.List())
	}
}

func TestReadCompressedAndArchived(t *testing.T) {
	want, _ := read(t, "testdata/azure2019")
	dir := t.TempDir()
	var tarball, zipped bytes.Buffer
	gz := gzip.NewWriter(&tarball)
	tw := tar.NewWriter(gz)
	zw := zip.NewWriter(&zipped)
	folder := filepath.Join(dir, "compressed")
	os.Mkdir(folder, 0o755)
	for _, name := range []string{"memory.csv", "invocations.csv", "durations.csv"} {
		text, err := os.ReadFile(filepath.Join("testdata/azure2019", name))
		if err != nil {
			t.Fatal(err)
		}
		tw.WriteHeader(&tar.Header{Name: "set/" + name, Size: int64(len(text)), Mode: 0o644})
		tw.Write(text)
		w, _ := zw.Create("set/" + name)
		w.Write(text)
		var b bytes.Buffer
		if name == "memory.csv" {
			z, _ := zstd.NewWriter(&b)
			z.Write(text)
			z.Close()
			name += ".zst"
		} else {
			z := gzip.NewWriter(&b)
			z.Write(text)
			z.Close()
			name += ".gz"
		}
		write(t, folder, map[string]string{name: b.String()})
	}
	tw.Close()
	gz.Close()
	zw.Close()
	write(t, dir, map[string]string{"set.tar.gz": tarball.String(), "set.zip": zipped.String()})
	for _, name := range []string{"compressed", "set.tar.gz", "set.zip"} {
		got, _ := read(t, filepath.Join(dir, name))
		if !slices.Equal(all(t, got, Options{}), all(t, want, Options{})) {
			t.Errorf("%s: not the same trace", name)
		}
	}
	// A compressed file that ends early is an error: half a trace would pass for a whole one.
	cut := tarball.String()[:tarball.Len()/2]
	write(t, dir, map[string]string{"cut.tar.gz": cut})
	if _, _, err := Read(context.Background(), ReadOptions{}, filepath.Join(dir, "cut.tar.gz")); err == nil {
		t.Error("half an archive was read without an error")
	}
}

func TestReadRefuses(t *testing.T) {
	for name, text := range map[string]string{
		"empty":         "",
		"other columns": "a,b,c\n1,2,3\n",
		"no minutes":    "HashOwner,HashApp,HashFunction,Trigger\n",
		"minute gap":    "HashOwner,HashApp,HashFunction,Trigger,1,3\n",
		"no functions":  "HashOwner,HashApp,HashFunction,Trigger,1,2\n",
		"xz":            "\xfd7zXZ\x00....",
		"parquet":       "PAR1garbagegarbagePAR1",
		"only durations": durationsHeader +
			"o,a,f1,10,5,0,0,1,1,5,9,12,30,40\n",
	} {
		path := filepath.Join(write(t, t.TempDir(), map[string]string{"t.csv": text}), "t.csv")
		_, _, err := Read(context.Background(), ReadOptions{}, path)
		var format *FormatError
		if !errors.As(err, &format) {
			t.Errorf("%s: error %v: want a FormatError", name, err)
		}
	}
	mixed := []string{"testdata/azure2019", "testdata/azure2021/head.csv"}
	if _, _, err := Read(context.Background(), ReadOptions{}, mixed...); err == nil {
		t.Error("counts and recorded invocations were mixed")
	}
}

// TestReadSharedSets reads the larger pieces of the published sets where a checkout has them.
func TestReadSharedSets(t *testing.T) {
	dir := filepath.Join("..", "..", "..", "shared", "traces")
	if _, err := os.Stat(dir); err != nil {
		t.Skip("no folder shared/traces beside the checkout")
	}
	tr, problems := read(t, filepath.Join(dir, "azure2019-day1-500f"))
	info, err := Describe(context.Background(), tr, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if info.Invocations != 3_037_902 || info.Functions != 500 || info.Apps != 476 {
		t.Errorf("%d invocations of %d functions in %d apps: want 3037902, 500, 476", info.Invocations, info.Functions, info.Apps)
	}
	if len(problems.List()) > 0 {
		t.Errorf("problems: %+v", problems.List())
	}
	tr, _ = read(t, filepath.Join(dir, "azure2021-head"))
	if n := len(all(t, tr, Options{})); n != 998 || len(tr.Functions()) != 49 {
		t.Errorf("%d invocations of %d functions in the head of 2021: want 998, 49", n, len(tr.Functions()))
	}
}

// FuzzRead gives every reader hostile bytes, told apart by their first line as files are.
func FuzzRead(f *testing.F) {
	for _, name := range []string{"azure2019/invocations.csv", "azure2019/durations.csv", "azure2019/memory.csv", "azure2021/head.csv"} {
		b, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b[:min(len(b), 4000)])
	}
	f.Add([]byte("function,start_seconds,duration_seconds,memory_mb,trigger,app\nf,1,2,3,http,a\n"))
	var parquet bytes.Buffer
	small, _ := NewRecorded([]Function{{Name: "f", MemoryMB: 5}}, []Invocation{{At: 5}}, time.Second)
	if err := WriteParquet(context.Background(), &parquet, small, Options{}); err != nil {
		f.Fatal(err)
	}
	f.Add(parquet.Bytes())
	f.Fuzz(func(t *testing.T, b []byte) {
		path := filepath.Join(t.TempDir(), "t.csv")
		if err := os.WriteFile(path, b, 0o644); err != nil {
			t.Fatal(err)
		}
		tr, _, err := Read(context.Background(), ReadOptions{TempDir: t.TempDir()}, path)
		if err != nil {
			return
		}
		defer tr.Close()
		n := 0
		var last time.Duration
		stop := errors.New("enough")
		err = ForEach(context.Background(), tr, Options{}, func(inv Invocation) error {
			if inv.At < last || inv.At >= tr.Length() || inv.Duration < 0 || inv.Function < 0 || int(inv.Function) >= len(tr.Functions()) {
				t.Fatalf("invocation %+v after %v in a trace of %v", inv, last, tr.Length())
			}
			last = inv.At
			if n++; n > 10_000 {
				return stop
			}
			return nil
		})
		if err != nil && err != stop {
			t.Fatal(err)
		}
	})
}
