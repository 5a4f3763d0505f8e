package javacache

import (
	"bytes"
	"cmp"
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/cloudjit/cloudjit/internal/assets"
	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/jar"
	"github.com/cloudjit/cloudjit/internal/ladder"
	"github.com/cloudjit/cloudjit/internal/launch"
	"github.com/cloudjit/cloudjit/internal/sample"
	"github.com/cloudjit/cloudjit/internal/worker"
	"github.com/cloudjit/cloudjit/internal/worker/workertest"
)

// variants are the ways to run one function that BenchmarkColdStart compares.
var variants = []struct {
	name    string
	rung    ladder.Rung
	compute bool
}{
	{"plain", plain, false}, {"plain, both compilers", plain, true},
	{"cached", cached, false}, {"cached, both compilers", cached, true},
}

// BenchmarkColdStart measures, in real sandboxes and interleaved, the time from the start of a worker to its
// first answer, its memory then, and with WARM=20s its answers a second in the last third of that time.
// SAMPLE is the folder of a built sample; without, it is skipped. It also says what recording costs.
func BenchmarkColdStart(b *testing.B) {
	dir := os.Getenv("SAMPLE")
	if dir == "" {
		b.Skip("needs SAMPLE, the folder of a sample that was built")
	}
	s, err := sample.Load(dir)
	if err != nil {
		b.Fatal(err)
	}
	warm, _ := time.ParseDuration(os.Getenv("WARM"))
	f := sampleFixture(b, s)
	f.use(b, s)
	recording, peak, took := f.recordMeasured(b, s)
	st, _ := os.Stat(recording)
	b.Logf("recording: %.1f MiB at its peak, %v from SIGTERM to the end, file of %.1f MB", peak, took.Round(time.Millisecond), float64(st.Size())/1e6)
	made, err := f.build(recording)
	if err != nil {
		b.Fatal(err)
	}
	b.Logf("assembling: %v, %v of CPU, %.0f MiB, cache of %.1f MB", made.Cost.Wall.Round(time.Millisecond), made.Cost.CPU.Round(time.Millisecond), float64(made.Cost.PeakRSS)/(1<<20), float64(made.Cost.Size)/1e6)

	type result struct {
		first time.Duration
		pss   float64
		rate  float64
	}
	results := map[string][]result{}
	for b.Loop() {
		for _, v := range variants {
			r := f.request
			r.Rung, r.Paths.Artifact = v.rung, made.Dir
			if v.compute {
				r.Rung.Options = ladder.OptionsC2
			}
			began := time.Now()
			w := f.start(b, r)
			ask(b, w, s, 0)
			one := result{first: time.Since(began)}
			time.Sleep(100 * time.Millisecond)
			if m, err := w.Memory(b.Context()); err == nil {
				one.pss = float64(m.PSS) / (1 << 20)
			}
			if warm > 0 {
				one.rate = rate(b, w, s, warm)
			}
			_ = w.Stop(b.Context(), 0)
			results[v.name] = append(results[v.name], one)
		}
	}
	b.ReportMetric(0, "ns/op")
	for _, v := range variants {
		all := results[v.name]
		slices.SortFunc(all, func(x, y result) int { return cmp.Compare(x.first, y.first) })
		mid := all[len(all)/2]
		b.Logf("%-24s n=%d  first answer min %5d ms, median %5d ms   PSS %6.1f MiB   %8.1f answers/s", v.name, len(all),
			all[0].first.Milliseconds(), mid.first.Milliseconds(), mid.pss, mid.rate)
	}
}

// sampleFixture is a sample, laid out as the server does it.
func sampleFixture(b *testing.B, s *sample.Sample) *fixture {
	b.Helper()
	f := newFixture(b, launchNewest)
	dir := b.TempDir()
	workertest.Open(b, dir)
	archive := s.Artifact
	if !filepath.IsAbs(archive) {
		archive = filepath.Join(s.Dir, archive)
	}
	code := filepath.Join(dir, "code")
	info, err := jar.Extract(archive, code, jar.Limits{})
	if err != nil {
		b.Fatal(err)
	}
	kind := function.KindHandler
	if s.Kind == "web" {
		kind = function.KindWeb
	}
	f.request.Revision = &function.Spec{
		ID: "01REV", Function: "f", Kind: kind, Handler: s.Handler, CodeSHA256: "c0de", MemoryMiB: max(s.MemoryMiB, 512), TmpMiB: 512, Concurrency: 4,
	}
	f.request.Paths = launch.Paths{Code: code, ClassPath: info.Paths, MainClass: info.MainClass, ModuleOptions: info.ModuleOptions(), JDK: f.request.Paths.JDK}
	for name, path := range map[string]*string{assets.Runtime: &f.request.Paths.Runtime, assets.Serialization: &f.request.Paths.Serialization} {
		if *path, err = assets.Install(dir, name); err != nil {
			b.Fatal(err)
		}
		workertest.Open(b, filepath.Dir(*path))
	}
	return f
}

// use runs a plain worker once, so that everything is in the machine's memory.
func (f *fixture) use(b *testing.B, s *sample.Sample) {
	r := f.request
	r.Rung = plain
	w := f.start(b, r)
	ask(b, w, s, 0)
	m, _ := w.Memory(b.Context())
	b.Logf("a plain worker: %.1f MiB at its peak", float64(m.Peak)/(1<<20))
	_ = w.Stop(b.Context(), 0)
}

func (f *fixture) start(b *testing.B, r launch.Request) worker.Worker {
	b.Helper()
	w, out, err := f.run(r)
	if err != nil {
		b.Fatalf("%v: %s", err, out.String())
	}
	return w
}

// recordMeasured records with the sample's traffic. Memory is in MiB.
func (f *fixture) recordMeasured(b *testing.B, s *sample.Sample) (file string, peak float64, took time.Duration) {
	r := f.request
	r.Rung, r.Recording, r.Paths.Record = plain, ladder.RecordingClasses, b.TempDir()
	workertest.Open(b, r.Paths.Record)
	began := time.Now()
	w := f.start(b, r)
	for i := range s.Requests {
		ask(b, w, s, i)
		if i == 0 {
			b.Logf("a recording worker: first answer after %v", time.Since(began).Round(time.Millisecond))
		}
	}
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-w.Done():
				return
			case <-time.After(5 * time.Millisecond):
				peak = max(peak, float64(w.(worker.Peaker).Peak())/(1<<20))
			}
		}
	}()
	began = time.Now()
	if err := w.Stop(context.Background(), time.Minute); err != nil {
		b.Fatal(err)
	}
	took = time.Since(began)
	<-stopped
	file, ok := launch.RecordingFile(r.Recording, r.Paths.Record)
	if !ok {
		b.Fatalf("no recording: %+v", w.Exit())
	}
	return file, peak, took
}

// ask sends a sample's request and waits for its answer.
func ask(b *testing.B, w worker.Worker, s *sample.Sample, i int) {
	b.Helper()
	q := s.Requests[i%len(s.Requests)]
	if s.Kind != "web" {
		res, err := w.Invoke(b.Context(), &worker.Invocation{RequestID: ulid.Make().String(), Payload: q.Event, Deadline: time.Now().Add(time.Minute)})
		if err != nil || res.Outcome != function.OutcomeOK {
			b.Fatalf("%s: %+v, %v", q.Name, res, err)
		}
		return
	}
	req, err := http.NewRequestWithContext(b.Context(), cmp.Or(q.Method, http.MethodGet), "http://f.example"+q.Path, bytes.NewReader([]byte(q.Body)))
	if err != nil {
		b.Fatal(err)
	}
	for k, v := range q.Headers {
		req.Header.Set(k, v)
	}
	res, err := w.HTTP().RoundTrip(req)
	if err != nil {
		b.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, res.Body)
	res.Body.Close()
	if q.Status != 0 && res.StatusCode != q.Status {
		b.Fatalf("%s: status %d", q.Name, res.StatusCode)
	}
}

// rate is the answers a second in the last third of warm.
func rate(b *testing.B, w worker.Worker, s *sample.Sample, warm time.Duration) float64 {
	end := time.Now().Add(warm)
	counted, from := 0, end.Add(-warm/3)
	for i := 0; time.Now().Before(end); i++ {
		ask(b, w, s, i)
		if time.Now().After(from) {
			counted++
		}
	}
	return float64(counted) / time.Since(from).Seconds()
}
