package server_test

import (
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/cloudjit/cloudjit/internal/client"
	"github.com/cloudjit/cloudjit/internal/config"
	"github.com/cloudjit/cloudjit/internal/engine"
	"github.com/cloudjit/cloudjit/internal/experiment/live"
	"github.com/cloudjit/cloudjit/internal/policy"
	"github.com/cloudjit/cloudjit/internal/server"
	"github.com/cloudjit/cloudjit/internal/sim"
	"github.com/cloudjit/cloudjit/internal/store"
)

// TestRecordedTrafficIsPredicted drives two functions on real workers, with bursts and gaps around a
// short keep-alive, so that most of what happens is cold starts, and records the engine's
// log. The log replays to the very same actions; simulated with the durations measured in it,
// it has the cold starts that there were, but for a few.
//
// RECORD=FILE keeps the log there, SECONDS=N drives longer.
func TestRecordedTrafficIsPredicted(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED: takes half a minute")
	}
	length := 25 * time.Second
	if n, err := strconv.Atoi(os.Getenv("SECONDS")); err == nil {
		length = time.Duration(n) * time.Second
	}
	path := os.Getenv("RECORD")
	if path == "" {
		path = filepath.Join(t.TempDir(), "engine.log")
	}
	log, err := server.CreateLogFile(path, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	c := config.Default()
	c.Listen, c.Data = "127.0.0.1:0", t.TempDir()
	s, err := server.Start(t.Context(), server.Options{Config: c, Cache: t.TempDir(), Version: "test", Log: slog.New(slog.DiscardHandler), Record: log})
	if err != nil {
		t.Fatal(err)
	}
	cl, err := client.New("http://" + s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	keepAlive := store.Duration(2 * time.Second)
	var functions []*live.Function
	for _, name := range []string{"orders", "hello-web"} {
		f, err := live.Deploy(t.Context(), cl, name, load(t, name), store.Policy{KeepAlive: &keepAlive})
		if err != nil {
			t.Fatal(err)
		}
		functions = append(functions, f)
	}
	var mu sync.Mutex
	answered := 0
	var users sync.WaitGroup
	for i, f := range functions {
		users.Go(func() {
			r := rand.New(rand.NewPCG(1, uint64(i)))
			for end := time.Now().Add(length); time.Now().Before(end); {
				for range 1 + r.IntN(3) { // at once
					users.Go(func() {
						if ask(t, f, 0).Wrong == nil {
							mu.Lock()
							answered++
							mu.Unlock()
						}
					})
				}
				time.Sleep(time.Duration(r.ExpFloat64() * float64(1500*time.Millisecond)))
			}
		})
	}
	users.Wait()
	stop(t, s)
	if stats, err := log.Close(); err != nil || stats.Lost > 0 {
		t.Fatalf("%+v: %v", stats, err)
	}

	open := func() *engine.LogReader {
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		l, err := engine.NewLogReader(f)
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	decided, err := policy.New(c.Policy.Name)
	if err != nil {
		t.Fatal(err)
	}
	steps, err := engine.Replay(open(), decided)
	if err != nil {
		t.Error(err)
	}
	rec, err := sim.FromLog(open())
	if err != nil {
		t.Fatal(err)
	}
	defer rec.Trace.Close()
	rec.Options.Policies = []string{c.Policy.Name}
	r, err := sim.Run(t.Context(), rec.Trace, rec.Options)
	if err != nil {
		t.Fatal(err)
	}
	was, predicted := rec.Live, r.Runs[0].Summary
	t.Logf("%d invocations, %d steps; cold starts: %d live, %d simulated; mean wait %v", was.Invocations, steps, was.ColdStarts, predicted.ColdStarts, predicted.Wait.Mean)
	if was.Steps != steps || was.CutOff || was.Invocations != answered || was.Skipped != 0 {
		t.Errorf("%d steps replayed, %d answers: the log has %+v", steps, answered, was)
	}
	if was.ColdStarts < 10 {
		t.Errorf("%d cold starts: too few to say anything", was.ColdStarts)
	}
	if d, bound := int(predicted.ColdStarts)-was.ColdStarts, max(3, was.ColdStarts/10); d < -bound || d > bound {
		t.Errorf("simulated %d cold starts: there were %d, want no more than %d away", predicted.ColdStarts, was.ColdStarts, bound)
	}
}
