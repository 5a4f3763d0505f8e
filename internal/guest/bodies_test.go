package guest

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/spool"
	"github.com/cloudjit/cloudjit/internal/worker"
)

// keeper keeps answers as the API does.
func keeper(p *spool.Pool) func(io.Reader, int64) (worker.Body, error) {
	return func(r io.Reader, limit int64) (worker.Body, error) {
		b, err := p.Read(r, limit)
		switch {
		case errors.Is(err, spool.ErrTooLarge):
			return nil, worker.ErrTooLarge
		case errors.Is(err, spool.ErrFull):
			return nil, errors.Join(worker.ErrNotKept, err)
		case err != nil:
			return nil, err
		}
		return b, nil
	}
}

// TestBodiesOutOfMemory: events come from, and answers go, where the invocation says.
func TestBodiesOutOfMemory(t *testing.T) {
	p, err := spool.Open(spool.Options{Dir: t.TempDir(), Memory: 1 << 20, Disk: 16 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	s, base := start(t)
	event := `"` + strings.Repeat("0123456789", 300_000) + `"`
	for i, unknown := range []bool{false, true} {
		in, err := p.Read(strings.NewReader(event), 6<<20)
		if err != nil {
			t.Fatal(err)
		}
		id := fmt.Sprint("r", i)
		got := invoke(s, &worker.Invocation{RequestID: id, Body: in, Keep: keeper(p)})
		if status, _, body := do(t, "GET", base+"invocation/next", ""); status != 200 || body != event {
			t.Errorf("next: got %d and %d bytes", status, len(body))
		}
		var answer io.Reader = strings.NewReader(event)
		if unknown {
			answer = io.MultiReader(answer)
		}
		res, err := http.Post(base+"invocation/"+id+"/response", "text/x", answer)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		a := <-got
		if a.err != nil || a.res.Body == nil || len(a.res.Payload) != 0 || a.res.ContentType != "text/x" {
			t.Fatalf("got %+v, %v", a.res, a.err)
		}
		if b, err := a.res.Body.Bytes(); err != nil || string(b) != event {
			t.Errorf("answer: got %d bytes, %v", len(b), err)
		}
		a.res.Body.Close()
		in.Close()
	}

	// Too large, small, and when there is no room.
	for _, c := range []struct {
		size    int
		keep    func(io.Reader, int64) (worker.Body, error)
		status  int
		outcome function.Outcome
	}{
		{MaxPayload + 1, keeper(p), 413, function.OutcomeTooLarge},
		{10, keeper(p), 202, function.OutcomeOK},
		{1 << 20, func(io.Reader, int64) (worker.Body, error) { return nil, worker.ErrNotKept }, 202, function.OutcomeHandlerError},
	} {
		got := invoke(s, &worker.Invocation{RequestID: "r", Keep: c.keep})
		do(t, "GET", base+"invocation/next", "")
		if status, _, _ := do(t, "POST", base+"invocation/r/response", strings.Repeat("x", c.size)); status != c.status {
			t.Errorf("%d bytes: got %d", c.size, status)
		}
		if a := <-got; a.res.Outcome != c.outcome || a.res.Body != nil {
			t.Errorf("%d bytes: got %+v", c.size, a.res)
		}
	}

	// One that breaks off is no answer, and holds nothing.
	got := invoke(s, &worker.Invocation{RequestID: "r", Keep: keeper(p)})
	do(t, "GET", base+"invocation/next", "")
	conn, err := net.Dial("tcp", strings.Split(base, "/")[2])
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(conn, "POST %sinvocation/r/response HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n%s", prefix, strings.Repeat("x", 500_000))
	time.Sleep(20 * time.Millisecond)
	conn.Close()
	for status := 0; status != 202; time.Sleep(time.Millisecond) {
		status, _, _ = do(t, "POST", base+"invocation/r/response", `"whole"`)
	}
	if a := <-got; string(a.res.Payload) != `"whole"` {
		t.Errorf("got %+v", a.res)
	}
	if u := p.Usage(); u.Memory != 0 || u.Disk != 0 {
		t.Errorf("still held: %+v", u)
	}
}
