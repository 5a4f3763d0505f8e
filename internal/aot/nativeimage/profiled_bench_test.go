package nativeimage

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cloudjit/cloudjit/internal/aot"
	"github.com/cloudjit/cloudjit/internal/config"
	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/ladder"
	"github.com/cloudjit/cloudjit/internal/profile"
	"github.com/cloudjit/cloudjit/internal/toolchain"
)

// BenchmarkProfiled is five small programs (testdata/micro) on HotSpot with both compilers, and as binaries of the optimized
// level without and with a profile, in turn: each figure is the best time of 3000 runs on HotSpot over that of the binary, so 1 is
// as fast as C2 and more is faster; the median of b.N turns. It also has what the profile costs: the binary's size and its build's
// CPU time, of those without. Heaps are as package launch sizes them for 512 MiB. It makes two binaries, which takes some minutes.
func BenchmarkProfiled(b *testing.B) {
	if os.Getenv("CLOUDJIT_PROFILED") == "" {
		b.Skip("makes two binaries: set CLOUDJIT_PROFILED")
	}
	found, _ := toolchain.Find(toolchain.FindOptions{Cache: config.CacheDir()})
	if len(found) == 0 || found[0].Inlines() != nil {
		b.Skip("no builder here takes our inliner: cloudjit toolchain install")
	}
	jdks := toolchain.FindJDKs(toolchain.FindOptions{Cache: config.CacheDir()})
	i := slices.IndexFunc(jdks, func(j toolchain.JDK) bool { return j.Feature() == 25 })
	if i < 0 {
		b.Skip("no JDK 25 here")
	}
	run := func(name string, args ...string) string {
		b.Helper()
		out, err := exec.Command(name, args...).CombinedOutput()
		if err != nil {
			b.Fatalf("%s: %v\n%s", name, err, out)
		}
		return string(out)
	}
	dir, classes := b.TempDir(), b.TempDir()
	run(filepath.Join(jdks[i].Home, "bin", "javac"), "-d", classes, "testdata/micro/Micro.java")
	java := func(options ...string) string {
		return run(filepath.Join(jdks[i].Home, "bin", "java"), append(append([]string{"-XX:+UseSerialGC", "-Xmx384m"}, options...), "-cp", classes, "Micro", "3000")...)
	}
	log := filepath.Join(dir, "jit.log")
	java("-XX:+UnlockDiagnosticVMOptions", "-XX:+LogCompilation", "-XX:LogFile="+log)
	recorded := filepath.Join(dir, "profile")
	if err := profile.Shorten(log, recorded); err != nil {
		b.Fatal(err)
	}

	code := jarOf(b, dir, classes, "Micro")
	image := must(filepath.Abs("../../../java/image/target/image.jar"))(b)
	builder, err := New(Options{
		Home: found[0].Home, ID: "bench", Image: image, Patch: true, Inlines: true, Cache: filepath.Join(dir, "cache"), Runner: sandboxes(b),
	})
	if err != nil {
		b.Fatal(err)
	}
	build := func(level string, profiles ...string) *aot.Result {
		b.Helper()
		r := alone(b, builder, &aot.Request{
			Revision: &function.Spec{Kind: function.KindWeb, Function: "micro"}, Code: code, Rung: ladder.Rung{Options: level},
			Recording: aot.Recording{Document: []byte("{}"), Also: profiles}, Limits: aot.Limits{MemoryMiB: 6144, Time: 20 * time.Minute},
		})
		for line := range strings.Lines(string(must(builder.Log(r.Key))(b))) {
			if strings.Contains(line, "cloudjit: ") {
				b.Log(strings.TrimSpace(line))
			}
		}
		return r
	}
	plain, profiled := build(levelOptimized), build(ladder.OptionsProfiled, recorded)
	ratios := map[string][]float64{}
	for b.Loop() {
		hotspot := times(b, java())
		for unit, binary := range map[string]*aot.Result{"plain": plain, "profiled": profiled} {
			for name, took := range times(b, run(filepath.Join(binary.Dir, binaryName), "-Xmx448m", "-Xms72m", "-Xmn56m", "3000")) {
				ratios[name+"-"+unit] = append(ratios[name+"-"+unit], hotspot[name]/took)
			}
		}
	}
	for unit, r := range ratios {
		slices.Sort(r)
		b.ReportMetric(r[len(r)/2], unit)
	}
	b.ReportMetric(float64(profiled.Cost.Size)/float64(plain.Cost.Size), "size")
	b.ReportMetric(profiled.Cost.CPU.Seconds()/plain.Cost.CPU.Seconds(), "build-cpu")
	b.ReportMetric(0, "ns/op")
}

// times are what Micro printed: NAME MILLISECONDS ms SUM.
func times(t testing.TB, out string) map[string]float64 {
	t.Helper()
	all := map[string]float64{}
	for s := bufio.NewScanner(strings.NewReader(out)); s.Scan(); {
		f := strings.Fields(s.Text())
		if len(f) == 4 && f[2] == "ms" {
			all[f[0]] = must(strconv.ParseFloat(f[1], 64))(t)
		}
	}
	if len(all) != 5 {
		t.Fatalf("it printed\n%s", out)
	}
	return all
}
