package process

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/cloudjit/cloudjit/internal/worker"
	"github.com/cloudjit/cloudjit/internal/worker/workertest"
)

// BenchmarkJob is a tool of a build, a Java compiler with 600 classes, in a sandbox and without one, in turn. The x metrics
// are the sandbox's share of the bare run's (1: the sandbox costs nothing), of the least and of the median.
func BenchmarkJob(b *testing.B) {
	tool, err := exec.LookPath("javac")
	if err == nil {
		tool, err = filepath.EvalSymlinks(tool)
	}
	if err != nil {
		b.Skip("SKIPPED: there is no JDK")
	}
	d := newDriver(b, Options{})
	defer d.Close()
	sources := b.TempDir()
	workertest.Open(b, sources)
	args := []string{"-proc:none", "-d", "/tmp/classes"}
	for i := range 600 {
		name := filepath.Join(sources, fmt.Sprintf("C%d.java", i))
		var text bytes.Buffer
		fmt.Fprintf(&text, "class C%d {\n", i)
		for k := range 20 {
			fmt.Fprintf(&text, "  int m%[1]d(java.util.Map<String, Integer> m) { return m.values().stream().mapToInt(x -> x + %[1]d).sum(); }\n", k)
		}
		text.WriteString("}\n")
		if err := os.WriteFile(name, text.Bytes(), 0o644); err != nil {
			b.Fatal(err)
		}
		args = append(args, name)
	}
	home := filepath.Dir(filepath.Dir(tool))
	type cost struct{ wall, cpu, memory float64 }
	var boxed, bare []cost
	for n := 0; b.Loop(); n++ {
		spec := worker.Spec{
			ID: fmt.Sprintf("job-%d", n), Revision: revision(false), Path: tool, Args: args, Dir: "/tmp", Env: []string{"PATH=/usr/bin"},
			Mounts: []worker.Mount{{Source: sources, Target: sources}, {Source: home, Target: home}},
			Limits: worker.Limits{MemoryMiB: 4096, TmpMiB: 256, PIDs: 1024},
		}
		done, err := d.Run(b.Context(), spec)
		if err != nil || done.Exit.Code != 0 {
			b.Fatalf("%+v, %v", done, err)
		}
		boxed = append(boxed, cost{done.Wall.Seconds(), done.CPU.Seconds(), float64(done.PeakRSS)})
		out := slices.Clone(args)
		out[2] = filepath.Join(b.TempDir(), "classes")
		cmd := exec.Command("nice", append([]string{"-n", "5", tool}, out...)...)
		began := time.Now()
		if said, err := cmd.CombinedOutput(); err != nil {
			b.Fatalf("%v: %s", err, said)
		}
		used := cmd.ProcessState.SysUsage().(*syscall.Rusage)
		bare = append(bare, cost{time.Since(began).Seconds(), (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds(), float64(used.Maxrss) * 1024})
	}
	b.ReportMetric(0, "ns/op")
	for name, of := range map[string]func(cost) float64{
		"wall": func(c cost) float64 { return c.wall }, "cpu": func(c cost) float64 { return c.cpu }, "memory": func(c cost) float64 { return c.memory },
	} {
		sorted := func(all []cost) (v []float64) {
			for _, c := range all {
				v = append(v, of(c))
			}
			slices.Sort(v)
			return v
		}
		x, y := sorted(boxed), sorted(bare)
		b.ReportMetric(x[0]/y[0], "x-"+name+"-least")
		b.ReportMetric(x[len(x)/2]/y[len(y)/2], "x-"+name+"-median")
	}
}

// BenchmarkBesideJob is a cold start whose first invocation takes 64 MiB of memory, on a machine that does nothing else and beside a job
// that computes on all processors, in turn. The x metrics are how many times longer it takes beside the job, of the least and of the median.
func BenchmarkBesideJob(b *testing.B) {
	d := newDriver(b, Options{})
	defer d.Close()
	inv := &worker.Invocation{RequestID: "r", Payload: workertest.Command{Do: "allocate", N: 64}.JSON(), Deadline: time.Now().Add(time.Hour)}
	cold := func(id string) float64 {
		began := time.Now()
		w := startGuest(b, d, workertest.Handler, id)
		if _, err := w.Invoke(b.Context(), inv); err != nil {
			b.Fatal(err)
		}
		took := time.Since(began)
		if err := w.Stop(b.Context(), 0); err != nil {
			b.Fatal(err)
		}
		return float64(took.Microseconds()) / 1000
	}
	var alone, beside []float64
	for n := 0; b.Loop(); n++ {
		alone = append(alone, cold(fmt.Sprintf("alone-%d", n)))
		end := beginJob(b, d, fmt.Sprintf("job-%d", n), fmt.Sprintf("for i in $(seq %d); do while :; do :; done & done; wait", runtime.NumCPU()))
		time.Sleep(300 * time.Millisecond)
		beside = append(beside, cold(fmt.Sprintf("beside-%d", n)))
		end()
	}
	b.ReportMetric(0, "ns/op")
	slices.Sort(alone)
	slices.Sort(beside)
	b.ReportMetric(alone[len(alone)/2], "alone-p50-ms")
	b.ReportMetric(beside[0]/alone[0], "x-least")
	b.ReportMetric(beside[len(beside)/2]/alone[len(alone)/2], "x-median")
}
