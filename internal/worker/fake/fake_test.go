package fake_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/worker"
	"github.com/cloudjit/cloudjit/internal/worker/fake"
	"github.com/cloudjit/cloudjit/internal/worker/workertest"
)

// TestConformance runs the suite with programs that do what the test program does in a sandbox.
func TestConformance(t *testing.T) {
	workertest.Suite{
		New:      func(testing.TB) worker.Driver { return fake.New(program) },
		Spec:     func(_ testing.TB, g workertest.Guest) worker.Spec { return worker.Spec{Path: string(g)} },
		InMemory: true,
	}.Run(t)
}

func program(spec worker.Spec) fake.Program {
	g := workertest.Guest(spec.Path)
	var mu sync.Mutex
	var trace []byte
	p := fake.Program{
		Trace: func() []byte { mu.Lock(); defer mu.Unlock(); return trace },
		Web: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X-Path", r.URL.RequestURI())
			w.Header().Set("X-Method", r.Method)
			w.WriteHeader(http.StatusTeapot)
			_, _ = io.Copy(w, r.Body)
		}),
		Handler: func(ctx context.Context, inv *worker.Invocation) (*worker.Result, error) {
			var c workertest.Command
			if err := json.Unmarshal(inv.Payload, &c); err != nil {
				return nil, err
			}
			switch c.Do {
			case "exit":
				return nil, &worker.ExitError{Exit: worker.Exit{Code: c.N, Stderr: c.Text}}
			case "fail":
				doc, _ := json.Marshal(workertest.ErrorDocument{ErrorType: "Handler.Error", ErrorMessage: c.Text})
				return &worker.Result{Outcome: function.OutcomeHandlerError, Payload: doc, ErrorType: "Handler.Error"}, nil
			case "big":
				return &worker.Result{Outcome: function.OutcomeTooLarge}, nil
			case "sleep":
				select {
				case <-ctx.Done():
					return nil, ctx.Err()
				case <-time.After(time.Duration(c.N) * time.Millisecond):
				}
			case "trace":
				mu.Lock()
				trace = []byte(c.Text)
				mu.Unlock()
			}
			out, _ := json.Marshal(c.Text)
			return &worker.Result{Outcome: function.OutcomeOK, Payload: out}, nil
		},
	}
	switch g {
	case workertest.InitError:
		p.StartErr = &worker.StartError{Phase: "init", InitError: []byte(`{"errorType":"Init.Boom"}`), Err: io.EOF}
	case workertest.ExitAtStart:
		p.StartErr = &worker.StartError{Phase: "runtime", Exit: &worker.Exit{Code: 7, Stderr: "cannot start"}, Err: io.EOF}
	case workertest.Hang:
		p.Init = time.Hour
	case workertest.Stubborn:
		p.Stop = time.Hour
	case workertest.JobExit:
		p.Job = func(context.Context) worker.Finished {
			return worker.Finished{Exit: worker.Exit{Code: 5, Stderr: "its reason"}, Wall: time.Millisecond}
		}
	case workertest.JobHang:
		p.Job = func(ctx context.Context) worker.Finished { <-ctx.Done(); return worker.Finished{} }
	}
	return p
}

// TestDelays shows the driver in a synctest bubble: an hour of start passes at once.
func TestDelays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := fake.New(func(worker.Spec) fake.Program {
			return fake.Program{Sandbox: time.Millisecond, Runtime: time.Minute, Init: time.Hour}
		})
		defer d.Close()
		began := time.Now()
		w, err := d.Start(t.Context(), worker.Spec{ID: "a"})
		if err != nil {
			t.Fatal(err)
		}
		if got, want := time.Since(began), time.Hour+time.Minute+time.Millisecond; got != want {
			t.Errorf("start took %v, want %v", got, want)
		}
		if res, err := w.Invoke(t.Context(), &worker.Invocation{Payload: []byte("x")}); err != nil || string(res.Payload) != "x" {
			t.Errorf("got %v, %v", res, err)
		}
		w.(*fake.Worker).Kill(worker.Exit{Code: -1, Signal: "killed", OutOfMemory: true})
		if _, err := w.Invoke(t.Context(), &worker.Invocation{}); err == nil || d.Alive() != 0 {
			t.Errorf("a killed worker answered: %v, %d alive", err, d.Alive())
		}
	})
}
