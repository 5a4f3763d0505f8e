package microvm

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// qmp speaks QEMU's Machine Protocol (docs/interop/qmp-spec.txt of QEMU) with one monitor. It is not called concurrently.
type qmp struct {
	conn    *net.UnixConn
	lines   *bufio.Scanner
	greeted bool
}

// maxAnswer bounds one line of a monitor, which is as hostile as the guest in it.
const maxAnswer = 1 << 20

func newQMP(conn *net.UnixConn) *qmp {
	q := &qmp{conn: conn, lines: bufio.NewScanner(conn)}
	q.lines.Buffer(make([]byte, 0, 4096), maxAnswer)
	return q
}

// do executes a command, and decodes what it returns into answer, unless that is nil. file, if set, goes with it.
func (q *qmp) do(ctx context.Context, command string, arguments map[string]any, file *os.File, answer any) error {
	fail := func(err error) error {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return fmt.Errorf("tell the monitor to %s: %w", command, err)
	}
	defer context.AfterFunc(ctx, func() { _ = q.conn.SetDeadline(time.Unix(1, 0)) })()
	if !q.greeted {
		q.greeted = true
		if !q.lines.Scan() {
			return fail(q.ended())
		}
		if err := q.do(ctx, "qmp_capabilities", nil, nil, nil); err != nil {
			return err
		}
	}
	b, err := json.Marshal(struct {
		Execute   string         `json:"execute"`
		Arguments map[string]any `json:"arguments,omitempty"`
	}{command, arguments})
	if err != nil {
		return fail(err)
	}
	var rights []byte
	if file != nil {
		rights = unix.UnixRights(int(file.Fd()))
	}
	if _, _, err := q.conn.WriteMsgUnix(append(b, '\n'), rights, nil); err != nil {
		return fail(err)
	}
	for q.lines.Scan() {
		done, err := said(q.lines.Bytes(), answer)
		if err != nil {
			return fail(err)
		}
		if done {
			return nil
		}
	}
	return fail(q.ended())
}

func (q *qmp) ended() error {
	if err := q.lines.Err(); err != nil {
		return err
	}
	return errors.New("it has ended")
}

// said reads one line of the monitor: done, if it is an answer, and not news.
func said(line []byte, answer any) (done bool, err error) {
	var m struct {
		Return json.RawMessage `json:"return"`
		Error  *struct{ Desc string }
	}
	if err := json.Unmarshal(line, &m); err != nil {
		return false, fmt.Errorf("it said %.100q: %w", line, err)
	}
	switch {
	case m.Error != nil:
		return true, errors.New(m.Error.Desc)
	case m.Return == nil:
		return false, nil
	case answer != nil:
		return true, json.Unmarshal(m.Return, answer)
	}
	return true, nil
}

// ignoreMemory keeps memory that is shared with a file out of what is saved and restored.
func (q *qmp) ignoreMemory(ctx context.Context) error {
	capabilities := []any{map[string]any{"capability": "x-ignore-shared", "state": true}}
	return q.do(ctx, "migrate-set-capabilities", map[string]any{"capabilities": capabilities}, nil, nil)
}

// devicesName is what the monitor calls the file with the state of its devices.
const devicesName = "devices"

// save writes the state of devices of a machine that stands still.
func (q *qmp) save(ctx context.Context, to *os.File) error {
	if err := q.ignoreMemory(ctx); err != nil {
		return err
	}
	if err := q.do(ctx, "getfd", map[string]any{"fdname": devicesName}, to, nil); err != nil {
		return err
	}
	if err := q.do(ctx, "migrate", map[string]any{"uri": "fd:" + devicesName}, nil, nil); err != nil {
		return err
	}
	return q.migrated(ctx, "save")
}

// migrated waits until the state of devices is saved or restored.
func (q *qmp) migrated(ctx context.Context, does string) error {
	for {
		var now struct {
			Status string `json:"status"`
			Desc   string `json:"error-desc"`
		}
		if err := q.do(ctx, "query-migrate", nil, nil, &now); err != nil {
			return err
		}
		switch now.Status {
		case "completed":
			return nil
		case "failed", "cancelled":
			return fmt.Errorf("the monitor did not %s its devices: %s %s", does, now.Status, now.Desc)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Millisecond):
		}
	}
}

// restore lets a machine that was started for it go on from the state of devices.
func (q *qmp) restore(ctx context.Context, from *os.File) error {
	if err := q.ignoreMemory(ctx); err != nil {
		return err
	}
	if err := q.do(ctx, "getfd", map[string]any{"fdname": devicesName}, from, nil); err != nil {
		return err
	}
	if err := q.do(ctx, "migrate-incoming", map[string]any{"uri": "fd:" + devicesName}, nil, nil); err != nil {
		return err
	}
	if err := q.migrated(ctx, "restore"); err != nil {
		return err
	}
	return q.resume(ctx)
}

// resume lets a machine go on that was stopped.
func (q *qmp) resume(ctx context.Context) error { return q.do(ctx, "cont", nil, nil, nil) }
