package microvm

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// firecrackerAPI speaks with one monitor, by the requests of its swagger document
// (https://github.com/firecracker-microvm/firecracker/blob/main/src/firecracker/swagger/firecracker.yaml).
type firecrackerAPI struct {
	client *http.Client
	socket func(ctx context.Context) (net.Conn, error)
}

const (
	// socketTime is how long the socket may take to appear, and requestTime one request that saves or restores nothing: both take
	// milliseconds.
	socketTime  = 10 * time.Second
	requestTime = 10 * time.Second
	// maxFault bounds what is read of an answer, bytes.
	maxFault = 64 << 10
)

// newFirecrackerAPI makes one; folder calls its argument with a path to the folder of the socket.
func newFirecrackerAPI(folder func(use func(dir string) error) error) *firecrackerAPI {
	a := &firecrackerAPI{socket: func(ctx context.Context) (c net.Conn, err error) {
		err = folder(func(dir string) error {
			c, err = (&net.Dialer{}).DialContext(ctx, "unix", filepath.Join(dir, apiSocket))
			return err
		})
		return c, err
	}}
	a.client = &http.Client{
		Transport: &http.Transport{
			DialContext:            func(ctx context.Context, _, _ string) (net.Conn, error) { return a.socket(ctx) },
			MaxConnsPerHost:        1,
			DisableCompression:     true,
			MaxResponseHeaderBytes: maxFault,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return a
}

func (a *firecrackerAPI) close() { a.client.CloseIdleConnections() }

// await waits until the monitor listens.
func (a *firecrackerAPI) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, socketTime, fmt.Errorf("it did not listen within %v", socketTime))
	defer cancel()
	for {
		c, err := a.socket(ctx)
		if err == nil {
			return c.Close()
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for the monitor's socket: %w", context.Cause(ctx))
		case <-time.After(time.Millisecond):
		}
	}
}

// do sends a request that takes milliseconds.
func (a *firecrackerAPI) do(ctx context.Context, method, path string, body any) error {
	ctx, cancel := context.WithTimeoutCause(ctx, requestTime, fmt.Errorf("no answer within %v", requestTime))
	defer cancel()
	return a.send(ctx, method, path, body)
}

// send sends a request, which has nothing as its answer, or a fault.
func (a *firecrackerAPI) send(ctx context.Context, method, path string, body any) error {
	fail := func(err error) error {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return fmt.Errorf("tell the monitor to %s %s: %w", method, path, err)
	}
	b, err := json.Marshal(body)
	if err != nil {
		return fail(err)
	}
	r, err := http.NewRequestWithContext(ctx, method, "http://monitor"+path, bytes.NewReader(b))
	if err != nil {
		return fail(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Accept", "application/json")
	resp, err := a.client.Do(r)
	if err != nil {
		return fail(err)
	}
	defer resp.Body.Close()
	said, err := io.ReadAll(io.LimitReader(resp.Body, maxFault))
	if err != nil {
		return fail(err)
	}
	if resp.StatusCode/100 != 2 {
		return fail(fault(resp.StatusCode, said))
	}
	return nil
}

// fault is what the monitor says of a request that it refuses.
func fault(status int, said []byte) error {
	var doc struct {
		Message string `json:"fault_message"`
	}
	if err := json.Unmarshal(said, &doc); err != nil || doc.Message == "" {
		return fmt.Errorf("it answers with status %d: %.200q", status, said)
	}
	return errors.New("it refuses: " + fmt.Sprintf("%.500s", doc.Message))
}

// state lets the machine stand still ("Paused"), or go on ("Resumed").
func (a *firecrackerAPI) state(ctx context.Context, to string) error {
	return a.do(ctx, "PATCH", "/vm", map[string]any{"state": to})
}

// create saves a machine that stands still into files that the monitor has.
func (a *firecrackerAPI) create(ctx context.Context, memory, devices *os.File) error {
	return a.send(ctx, "PUT", "/snapshot/create", map[string]any{
		"snapshot_type": "Full", "snapshot_path": memoryPath(devices), "mem_file_path": memoryPath(memory),
	})
}

// load lets a machine go on that was saved. Its memory is mapped: what it writes is its own, the rest is shared with its copies.
func (a *firecrackerAPI) load(ctx context.Context, from *standing) error {
	return a.send(ctx, "PUT", "/snapshot/load", map[string]any{
		"snapshot_path": memoryPath(from.devices), "resume_vm": true,
		"mem_backend": map[string]any{"backend_type": "File", "backend_path": memoryPath(from.memory)},
	})
}
