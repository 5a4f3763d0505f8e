package measure

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/cloudjit/cloudjit/internal/guest"
	"github.com/cloudjit/cloudjit/internal/sample"
	"github.com/cloudjit/cloudjit/internal/worker"
	"github.com/cloudjit/cloudjit/internal/worker/process"
)

// command is a program as it is started outside of every sandbox.
type command struct {
	path string
	args []string
	env  []string
	dir  string
}

// String is the command for people.
func (c *command) String() string { return c.path + " " + strings.Join(c.args, " ") }

// bare turns what a sandbox would run into what runs the same on the host: every place where
// the sandbox shows a folder becomes the folder itself.
func bare(spec worker.Spec) *command {
	mounts := slices.Clone(spec.Mounts)
	slices.SortFunc(mounts, func(a, b worker.Mount) int { return cmp.Compare(len(b.Target), len(a.Target)) })
	host := func(s string) string {
		for _, m := range mounts {
			s = strings.ReplaceAll(s, m.Target, filepath.Clean(m.Source))
		}
		return s
	}
	c := &command{path: host(spec.Path), dir: host(spec.Dir)}
	for _, a := range spec.Args {
		c.args = append(c.args, host(a))
	}
	for _, e := range spec.Env {
		c.env = append(c.env, host(e))
	}
	return c
}

// running is a process that answers requests.
type running struct {
	cmd     *exec.Cmd
	began   time.Time
	output  tail
	done    chan struct{} // closed when it has ended; exit is valid then
	exit    error
	port    int            // of a web application
	runtime *guest.Runtime // of a handler
	api     *guest.Server
}

// start runs a command; began is the moment before.
func start(c *command, s *sample.Sample) (*running, error) {
	p := &running{done: make(chan struct{})}
	p.cmd = exec.Command(c.path, c.args...)
	p.cmd.Dir, p.cmd.Env = c.dir, slices.Clone(c.env)
	p.cmd.Stdout, p.cmd.Stderr = &p.output, &p.output
	// A group of its own, so that it is ended as a whole; and it does not outlive us.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	p.cmd.WaitDelay = time.Second
	l, err := listen(s.Kind == "web")
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", c.path, err)
	}
	if s.Kind == "web" {
		p.port = l.Addr().(*net.TCPAddr).Port
		p.cmd.Env = append(p.cmd.Env, "PORT="+strconv.Itoa(p.port))
		_ = l.Close() // it was there to find a port that is free
	} else {
		p.runtime = guest.NewRuntime()
		p.api = guest.Serve(l, p.runtime)
		p.cmd.Env = append(p.cmd.Env, "AWS_LAMBDA_RUNTIME_API="+l.Addr().String())
	}
	p.began = time.Now()
	if err := p.cmd.Start(); err != nil {
		p.closeAPI()
		return nil, fmt.Errorf("start %s: %w", c.path, err)
	}
	go func() {
		p.exit = p.cmd.Wait()
		close(p.done)
		if p.runtime != nil {
			p.runtime.Close() // whoever waits for an answer learns of it
		}
	}()
	return p, nil
}

// sandboxPort is $PORT in a sandbox. An application that ignores $PORT listens there by luck, and
// so has to be given the same here.
const sandboxPort = "8080"

// listen takes the sandbox's port, if wanted and free, or any other.
func listen(web bool) (net.Listener, error) {
	if web {
		if l, err := net.Listen("tcp", "127.0.0.1:"+sandboxPort); err == nil {
			return l, nil
		}
	}
	return net.Listen("tcp", "127.0.0.1:0")
}

func (p *running) closeAPI() {
	if p.api != nil {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		p.api.Shutdown(ctx)
	}
}

// stop ends the process and all that it started: SIGTERM, grace, SIGKILL.
func (p *running) stop(grace time.Duration) {
	p.signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(grace):
	}
	p.signal(syscall.SIGKILL) // of what the process itself has left too
	<-p.done
	p.closeAPI()
}

func (p *running) signal(s syscall.Signal) { _ = syscall.Kill(-p.cmd.Process.Pid, s) }

// pss is the memory of the process and all below it, in MiB.
func (p *running) pss() (float64, error) {
	m, err := process.MemoryOf(p.cmd.Process.Pid)
	return float64(m.PSS) / (1 << 20), err
}

// ended is why the process is gone, nil while it is there.
func (p *running) ended() error {
	select {
	case <-p.done:
		why := "it ended by itself"
		if p.exit != nil {
			why = p.exit.Error()
		}
		return &endedError{why, p.output.String()}
	default:
		return nil
	}
}

// endedError is a process that ended under the measurement.
type endedError struct{ why, output string }

func (e *endedError) Error() string {
	text := "the process is gone: " + e.why
	if e.output != "" {
		text += ": " + e.output
	}
	return text
}

// tail keeps the end of what a process writes.
type tail struct {
	mu sync.Mutex
	b  []byte
}

const tailSize = 600

// Write never fails.
func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.b = append(t.b, p...)
	if over := len(t.b) - tailSize; over > 0 {
		t.b = append(t.b[:0], t.b[over:]...)
	}
	return len(p), nil
}

// String is the end in one line.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.Join(strings.Fields(string(t.b)), " ")
}
