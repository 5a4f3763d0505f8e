package cli

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// TestInterruptEndsReading: of a terminal at which nobody types, and of a pipe that nobody writes to.
func TestInterruptEndsReading(t *testing.T) {
	silent, w := io.Pipe()
	defer w.Close()
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{"-", pipe} {
		ctx, interrupt := context.WithCancel(t.Context())
		time.AfterFunc(10*time.Millisecond, interrupt)
		c := &Context{Context: ctx, Stdin: silent}
		if _, err := c.read(file); !errors.Is(err, context.Canceled) || exitCode(ctx, err) != exitInterrupted {
			t.Errorf("%s: got %v, exit code %d", file, err, exitCode(ctx, err))
		}
	}
	f, err := os.OpenFile(pipe, os.O_RDWR, 0) // lets the reader of the pipe end
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
}
