package server_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/cloudjit/cloudjit/internal/client"
	"github.com/cloudjit/cloudjit/internal/config"
	"github.com/cloudjit/cloudjit/internal/experiment/live"
	"github.com/cloudjit/cloudjit/internal/ladder"
	"github.com/cloudjit/cloudjit/internal/sample"
	"github.com/cloudjit/cloudjit/internal/server"
	"github.com/cloudjit/cloudjit/internal/store"
)

const samples = "../../java/samples"

// load returns a sample that "make test" has built.
func load(t *testing.T, name string) *sample.Sample {
	t.Helper()
	s, err := sample.Load(filepath.Join(samples, name))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(s.Archive()); err != nil {
		t.Skipf("SKIPPED: sample %s is not built (make samples): %v", name, err)
	}
	return s
}

func start(t *testing.T, data string) (*server.Server, *client.Client) {
	t.Helper()
	c := config.Default()
	c.Listen, c.Data = "127.0.0.1:0", data
	s, err := server.Start(t.Context(), server.Options{Config: c, Cache: t.TempDir(), Version: "test", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	cl, err := client.New("http://" + s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return s, cl
}

func stop(t *testing.T, s *server.Server) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := s.Stop(ctx); err != nil {
		t.Errorf("stop: %v", err)
	}
}

// TestFunctionsRun takes a handler and a web application through deployment, single requests, a
// burst, and a restart of the server, on real workers.
func TestFunctionsRun(t *testing.T) {
	data := t.TempDir()
	s, c := start(t, data)
	for _, name := range []string{"orders", "hello-web"} {
		f, err := live.Deploy(t.Context(), c, name, load(t, name), store.Policy{})
		if err != nil {
			t.Fatal(err)
		}
		first := ask(t, f, 0)
		if !first.Cold || first.Rung != ladder.HotSpot {
			t.Errorf("%s: the first request was served by %s, cold %t: want a cold start on hotspot", name, first.Rung, first.Cold)
		}
		var burst sync.WaitGroup
		for i := range 8 {
			burst.Go(func() { ask(t, f, i) })
		}
		burst.Wait()
		workers, err := f.Workers(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		recording := 0
		for _, w := range workers {
			if w.Recording != ladder.RecordingNone {
				recording++
			}
			if w.State == "idle" && w.Memory.PSS == 0 {
				t.Errorf("%s: worker %s has no memory", name, w.ID)
			}
		}
		if recording > 1 {
			t.Errorf("%s: %d recorders, want one at most", name, recording)
		}
	}
	stop(t, s)

	s, c = start(t, data)
	defer stop(t, s)
	functions, err := c.Overview(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(functions) != 2 {
		t.Fatalf("after a restart there are %d functions, want 2", len(functions))
	}
	f, err := live.Deploy(t.Context(), c, "orders", load(t, "orders"), store.Policy{})
	if err != nil {
		t.Fatal(err)
	}
	ask(t, f, 0)
}

func ask(t *testing.T, f *live.Function, i int) live.Answer {
	t.Helper()
	a, err := f.Ask(t.Context(), &f.Sample.Requests[i%len(f.Sample.Requests)])
	if err == nil {
		err = a.Wrong
	}
	if err != nil {
		t.Errorf("%s: %v", f.Name, err)
	}
	return a
}

// TestOneServerForEachFolder: the second one fails and says why.
func TestOneServerForEachFolder(t *testing.T) {
	data := t.TempDir()
	s, _ := start(t, data)
	defer stop(t, s)
	c := config.Default()
	c.Listen, c.Data = "127.0.0.1:0", data
	_, err := server.Start(t.Context(), server.Options{Config: c, Cache: t.TempDir(), Log: slog.New(slog.DiscardHandler)})
	if !errors.Is(err, store.ErrInUse) {
		t.Fatalf("got %v, want %v", err, store.ErrInUse)
	}
}

func ExampleStart() {
	c := config.Default()
	c.Listen = "beyond:80"
	_, err := server.Start(context.Background(), server.Options{Config: c})
	fmt.Println(err != nil)
	// Output: true
}
