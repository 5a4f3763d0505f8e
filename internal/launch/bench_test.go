package launch_test

import (
	"bufio"
	"bytes"
	"cmp"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cloudjit/cloudjit/internal/launch"
)

// clients are the ways to run a handler that the benchmark compares. The names of the variables
// say what must be given: JAVA_HOMES lists JDK homes (':' between them), RUNTIME_TARGET is
// java/runtime/target after "mvn package", PUBLISHED a folder with the published client's JARs,
// FUNCTION "a.jar=package.Class" with its event as FUNCTION_EVENT.
func clients(target, published, jar string) map[string][]string {
	ours := filepath.Join(target, "runtime.jar") + ":" + jar + ":" + filepath.Join(target, "lib", "aws-lambda-java-serialization.jar")
	theirs, _ := filepath.Glob(filepath.Join(published, "*.jar"))
	tuned := []string{"-XX:+UseSerialGC", "-XX:-UsePerfData", "-XX:TieredStopAtLevel=1", "-Djava.net.preferIPv4Stack=true"}
	return map[string][]string{
		"ours/plain":      {"-cp", ours, launch.RuntimeMain},
		"ours/tuned":      append(slices.Clone(tuned), "-cp", ours, launch.RuntimeMain),
		"published/plain": {"-cp", strings.Join(append(theirs, jar), ":"), "com.amazonaws.services.lambda.runtime.api.client.AWSLambda"},
		"published/tuned": append(slices.Clone(tuned), "-cp", strings.Join(append(theirs, jar), ":"), "com.amazonaws.services.lambda.runtime.api.client.AWSLambda"),
	}
}

// BenchmarkColdStart measures from the start of the JVM to the first answer at a stand-in Runtime
// API, and the process's memory then, interleaved. It reports the minimum and the median.
func BenchmarkColdStart(b *testing.B) {
	homes, target, published, fn := os.Getenv("JAVA_HOMES"), os.Getenv("RUNTIME_TARGET"), os.Getenv("PUBLISHED"), os.Getenv("FUNCTION")
	if homes == "" || target == "" || published == "" || fn == "" {
		b.Skip("needs JAVA_HOMES, RUNTIME_TARGET, PUBLISHED and FUNCTION: see clients")
	}
	jar, handler, _ := strings.Cut(fn, "=")
	event := cmp.Or(os.Getenv("FUNCTION_EVENT"), "{}")
	type sample struct {
		start    time.Duration
		pss, rss int
	}
	samples := map[string][]sample{}
	for b.Loop() {
		for home := range strings.SplitSeq(homes, ":") {
			for name, args := range clients(target, published, jar) {
				start, pss, rss, err := coldStart(filepath.Join(home, "bin/java"), append(args, handler), handler, event)
				if err != nil {
					b.Fatalf("%s on %s: %v", name, home, err)
				}
				key := filepath.Base(home) + "/" + name
				samples[key] = append(samples[key], sample{start, pss, rss})
			}
		}
	}
	b.ReportMetric(0, "ns/op")
	for _, key := range slices.Sorted(func(yield func(string) bool) {
		for k := range samples {
			if !yield(k) {
				return
			}
		}
	}) {
		all := samples[key]
		slices.SortFunc(all, func(a, b sample) int { return cmp.Compare(a.start, b.start) })
		mid := all[len(all)/2]
		b.Logf("%-44s n=%d  start min %4d ms, median %4d ms   PSS %5.1f MiB, RSS %5.1f MiB", key, len(all),
			all[0].start.Milliseconds(), mid.start.Milliseconds(), float64(mid.pss)/1024, float64(mid.rss)/1024)
	}
}

// coldStart runs one JVM until its first answer. Memory is in KiB.
func coldStart(java string, args []string, handler, event string) (start time.Duration, pss, rss int, err error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, 0, 0, err
	}
	answered := make(chan time.Time, 1)
	asked := make(chan struct{}, 2)
	stop := make(chan struct{})
	mux := http.NewServeMux()
	mux.HandleFunc("GET /2018-06-01/runtime/invocation/next", func(w http.ResponseWriter, r *http.Request) {
		asked <- struct{}{}
		if len(asked) > 1 {
			<-stop
			return
		}
		w.Header().Set("Lambda-Runtime-Aws-Request-Id", "1")
		w.Header().Set("Lambda-Runtime-Deadline-Ms", strconv.FormatInt(time.Now().Add(time.Minute).UnixMilli(), 10))
		_, _ = io.WriteString(w, event)
	})
	mux.HandleFunc("POST /2018-06-01/runtime/invocation/1/response", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		answered <- time.Now()
		w.WriteHeader(http.StatusAccepted)
	})
	server := &http.Server{Handler: mux}
	go func() { _ = server.Serve(listener) }()
	defer func() { close(stop); _ = server.Close() }()

	var output bytes.Buffer
	cmd := exec.Command(java, args...)
	cmd.Env = append(os.Environ(), "AWS_LAMBDA_RUNTIME_API="+listener.Addr().String(), "_HANDLER="+handler,
		"AWS_LAMBDA_FUNCTION_NAME=bench", "AWS_LAMBDA_FUNCTION_VERSION=1", "AWS_LAMBDA_LOG_GROUP_NAME=g", "AWS_LAMBDA_LOG_STREAM_NAME=s")
	cmd.Stdout, cmd.Stderr = &output, &output
	began := time.Now()
	if err := cmd.Start(); err != nil {
		return 0, 0, 0, err
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	select {
	case at := <-answered:
		start = at.Sub(began)
	case <-time.After(30 * time.Second):
		return 0, 0, 0, fmt.Errorf("no answer: %s", output.String())
	}
	pss, rss, err = memory(cmd.Process.Pid)
	return start, pss, rss, err
}

func memory(pid int) (pss, rss int, err error) {
	file, err := os.Open(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return 0, 0, err
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		_, _ = fmt.Sscanf(lines.Text(), "Pss: %d", &pss)
		_, _ = fmt.Sscanf(lines.Text(), "Rss: %d", &rss)
	}
	return pss, rss, lines.Err()
}
