// Command forward is the least that a platform in Go does for an invocation: an HTTP server that gives each request to a runtime
// that is free, over the Runtime API, and sends back what that answers. It knows one function; no engine, no limits, no sandboxes, no logs.
// Arguments: the number of runtimes, and the command that starts one.
package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/cloudjit/cloudjit/internal/guest"
	"github.com/cloudjit/cloudjit/internal/worker"
)

func main() {
	count, err := strconv.Atoi(os.Args[1])
	fail(err)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	free := make(chan *guest.Runtime, count)
	var commands []*exec.Cmd
	for range count {
		runtime, cmd := start(ctx, os.Args[2:])
		free <- runtime
		commands = append(commands, cmd)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	fail(err)
	context.AfterFunc(ctx, func() { _ = l.Close() })
	fmt.Println("http://" + l.Addr().String())
	var last atomic.Int64
	_ = http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		event, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		runtime := <-free
		deadline := time.Now().Add(time.Minute)
		ctx, cancel := context.WithDeadline(r.Context(), deadline)
		answer, err := runtime.Invoke(ctx, &worker.Invocation{
			RequestID: strconv.FormatInt(last.Add(1), 10), Payload: event, Deadline: deadline, FunctionARN: "arn:aws:lambda:::function:forward",
		})
		cancel()
		free <- runtime
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		w.Header().Set("Content-Type", answer.ContentType)
		_, _ = w.Write(answer.Payload)
	}))
	for _, cmd := range commands {
		_ = cmd.Wait() // ctx has killed it
	}
}

// start starts a runtime that ends with ctx, and waits for it.
func start(ctx context.Context, command []string) (*guest.Runtime, *exec.Cmd) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	fail(err)
	r := guest.NewRuntime()
	guest.Serve(l, r)
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Env = append(os.Environ(), "AWS_LAMBDA_RUNTIME_API="+l.Addr().String())
	cmd.Stderr = os.Stderr
	fail(cmd.Start())
	select {
	case <-r.Ready():
	case <-time.After(time.Minute):
		fail(fmt.Errorf("%s did not ask for an invocation within a minute", command[0]))
	}
	return r, cmd
}

func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
