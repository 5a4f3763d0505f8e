package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/cloudjit/cloudjit/internal/client"
	"github.com/cloudjit/cloudjit/internal/experiment/demo"
	"github.com/cloudjit/cloudjit/internal/sample"
)

type demoCommand struct {
	Samples    []string      `arg:"" type:"existingdir" help:"Folders of built samples (with requests.json)."`
	Out        string        `default:"out/demo.json" help:"File for the figures." placeholder:"FILE"`
	ColdStarts int           `default:"10" help:"Cold starts to measure on each rung."`
	Warm       int           `default:"300" help:"Warm invocations to measure on each rung."`
	BuildTime  time.Duration `default:"20m" help:"How long a function may take to become native."`
}

func (cmd *demoCommand) Run(c *Context) error {
	o := demo.Options{Out: c.Stderr, ColdStarts: cmd.ColdStarts, Warm: cmd.Warm, BuildTime: cmd.BuildTime}
	for _, dir := range cmd.Samples {
		s, err := sample.Load(dir)
		if err != nil {
			return err
		}
		o.Samples, o.Names = append(o.Samples, s), append(o.Names, filepath.Base(dir))
	}
	if err := os.MkdirAll(filepath.Dir(cmd.Out), 0o755); err != nil {
		return err
	}
	server, err := startServer(c, strings.TrimSuffix(cmd.Out, ".json")+"-server.log")
	if err != nil {
		return err
	}
	defer server.stop()
	if o.Client, err = client.New(server.endpoint); err != nil {
		return err
	}
	c.Say("serving at %s", server.endpoint)
	report, err := demo.Run(c, o)
	if report != nil {
		b, jsonErr := json.MarshalIndent(report, "", "  ")
		if jsonErr != nil {
			return jsonErr
		}
		if writeErr := os.WriteFile(cmd.Out, append(b, '\n'), 0o644); writeErr != nil {
			return writeErr
		}
		err = errors.Join(err, c.Print(report, func(w io.Writer) error { return showDemo(w, report) }))
	}
	return errors.Join(err, server.stop())
}

func showDemo(w io.Writer, r *demo.Report) error {
	fmt.Fprintln(w)
	t := table(w)
	fmt.Fprintln(t, "FUNCTION\tRUNG\tCOLD START P50\tWARM P50\tMEMORY PER WORKER\tREADY AFTER\t(COLD, WARM MEASURED)")
	for _, f := range r.Functions {
		for _, r := range f.Rungs {
			after := "at once"
			if r.After > 0 {
				after = fmt.Sprintf("%.1f s", r.After)
			}
			fmt.Fprintf(t, "%s\t%s\t%.1f ms\t%s\t%s\t%s\t(%d, %d)\n", f.Name, r.Rung, r.ColdP50, r.Warm(), r.PSS(), after, r.Colds, r.Warms)
		}
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, f := range r.Functions {
		for _, b := range f.Builds {
			fmt.Fprintf(w, "build of %s for %s: %.1f s, %.1f s of CPU, %d MB memory, %.1f MB artifact\n", b.Rung, f.Name, b.Cost.Wall.Seconds(),
				b.Cost.CPU.Seconds(), b.Cost.PeakRSS/1e6, float64(b.Cost.Size)/1e6)
		}
	}
	_, err := fmt.Fprintf(w, "%d invocations, %d wrong answers, %d deoptimizations\n", r.Invocations, r.WrongAnswers, r.Deoptimizations)
	return err
}

// childServer is a server of our own, in a process of its own and on a folder of its own.
type childServer struct {
	endpoint string
	cmd      *exec.Cmd
	data     string
	keep     bool // the data stay when it ends
	done     chan error
}

// startServer runs "cloudjit serve" on a free port and a folder of its own that goes with it;
// its log goes to a file.
func startServer(ctx context.Context, logFile string, args ...string) (*childServer, error) {
	data, err := os.MkdirTemp("", "cloudjit-data-")
	if err != nil {
		return nil, fmt.Errorf("start server: %w", err)
	}
	return (&childServer{data: data}).start(ctx, logFile, args...)
}

// startServerOn is startServer on a folder that stays.
func startServerOn(ctx context.Context, data, logFile string, args ...string) (*childServer, error) {
	return (&childServer{data: data, keep: true}).start(ctx, logFile, args...)
}

func (s *childServer) start(ctx context.Context, logFile string, args ...string) (*childServer, error) {
	s.done = make(chan error, 1)
	log, err := os.Create(logFile)
	if err != nil {
		return nil, fmt.Errorf("start server: %w", err)
	}
	defer log.Close()
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("start server: %w", err)
	}
	s.cmd = exec.Command(self, append([]string{"serve", "--listen", "127.0.0.1:0", "--data", s.data}, args...)...)
	s.cmd.Stderr = log
	// A group of its own, so that Ctrl-C reaches us alone and we stop it in order; and it does
	// not outlive us.
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("start server: %w", err)
	}
	if err := s.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start server: %w", err)
	}
	line := make(chan string, 1)
	go func() {
		text, _ := bufio.NewReader(out).ReadString('\n') // empty: it failed, and said so in its log
		line <- strings.TrimSpace(text)
		s.done <- s.cmd.Wait()
	}()
	select {
	case s.endpoint = <-line:
	case <-time.After(30 * time.Second):
	case <-ctx.Done():
	}
	if s.endpoint == "" {
		_ = s.stop() // why it did not start says more than how it stopped
		return nil, fmt.Errorf("the server did not start: see %s", logFile)
	}
	return s, nil
}

// stop ends the server and removes its data, unless they are kept. Idempotent.
func (s *childServer) stop() error {
	if s.cmd == nil {
		return nil
	}
	_ = s.cmd.Process.Signal(syscall.SIGTERM) // it may have ended already
	var err error
	select {
	case err = <-s.done:
	case <-time.After(45 * time.Second):
		_ = s.cmd.Process.Kill()
		err = <-s.done
	}
	s.cmd = nil
	if err != nil {
		err = fmt.Errorf("stop server: %w", err)
	}
	if s.keep {
		return err
	}
	return errors.Join(err, os.RemoveAll(s.data))
}
