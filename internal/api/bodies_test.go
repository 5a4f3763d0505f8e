package api_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/cloudjit/cloudjit/internal/api"
	"github.com/cloudjit/cloudjit/internal/spool"
)

// TestLargePayloads go both ways, through all kinds of invocation, and nothing is held afterwards.
func TestLargePayloads(t *testing.T) {
	var pool *spool.Pool
	f := start(t, func(o *api.Options) { pool = o.Bodies })
	f.create(t, "echo", "echo")
	payload := `"` + strings.Repeat("0123456789", 500_000) + `"`
	if a := f.do(t, "POST", functions+"/echo/invocations", payload); a.Status != 200 || a.Body != payload {
		t.Errorf("invoke: got %d and %d bytes", a.Status, len(a.Body))
	}
	if a := f.do(t, "POST", functions+"/echo/invocations", payload[1:]); a.Status != 400 || !strings.Contains(a.Body, "InvalidRequestContent") && !strings.Contains(a.Body, "parse request body") {
		t.Errorf("no JSON: got %d %s", a.Status, a.Body[:min(200, len(a.Body))])
	}
	if a := f.do(t, "POST", functions+"/echo/invocations", strings.Repeat("1", 6<<20+1)); a.Status != 413 {
		t.Errorf("too large: got %d", a.Status)
	}
	a := f.do(t, "POST", "/2021-11-15/functions/echo/response-streaming-invocations", payload)
	if a.Status != 200 || len(a.Body) < len(payload) {
		t.Errorf("streamed: got %d and %d bytes", a.Status, len(a.Body))
	}
	f.do(t, "POST", "/2021-10-31/functions/echo/url", `{"AuthType":"NONE"}`)
	fn, _ := f.store.Function("echo")
	body := strings.Repeat("text ", 600_000)
	a = f.do(t, "POST", "/cloudjit/v1/urls/"+fn.URLs["$LATEST"].ID+"/", body, "Content-Type", "text/plain")
	var event struct{ Body string }
	if err := json.Unmarshal([]byte(a.Body), &event); err != nil || event.Body != body {
		t.Errorf("by URL: got %d, %d bytes of %d, %v", a.Status, len(event.Body), len(body), err)
	}

	web := f.webFunction(t, "web", time.Minute, func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		_, _ = w.Write(b)
	})
	f.do(t, "PUT", "/2021-10-31/functions/web/url", `{"AuthType":"NONE"}`)
	if a := f.do(t, "POST", web, body[:1<<20]); a.Body != body[:1<<20] {
		t.Errorf("web function by URL: got %d and %d bytes", a.Status, len(a.Body))
	}
	doc, _ := json.Marshal(map[string]any{"version": "2.0", "rawPath": "/x", "body": base64.StdEncoding.EncodeToString([]byte(body)), "isBase64Encoded": true,
		"requestContext": map[string]any{"http": map[string]string{"method": "POST", "path": "/x"}}})
	a = f.do(t, "POST", functions+"/web/invocations", string(doc))
	if err := json.Unmarshal([]byte(a.Body), &event); err != nil || event.Body != body && event.Body != base64.StdEncoding.EncodeToString([]byte(body)) {
		t.Errorf("web function by event: got %d, %d bytes, %v", a.Status, len(a.Body), err)
	}
	await(t, func() bool { u := pool.Usage(); return u.Memory == 0 && u.Disk == 0 })
}

// TestBodiesThatDoNotFit are refused, and others are served when there is room.
func TestBodiesThatDoNotFit(t *testing.T) {
	pool, err := spool.Open(spool.Options{Dir: t.TempDir(), Memory: 1 << 20, Disk: 16 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	f := start(t, func(o *api.Options) { o.Bodies = pool })
	f.create(t, "echo", "echo")
	head := fmt.Sprintf("POST %s/echo/invocations HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n", functions, 5<<20)
	payload := append([]byte{'"'}, bytes.Repeat([]byte("x"), 5<<20-2)...) // all but the last byte
	var slow []net.Conn
	for range 3 {
		conn, err := net.Dial("tcp", strings.TrimPrefix(f.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := conn.Write(append([]byte(head), payload...)); err != nil {
			t.Fatal(err)
		}
		slow = append(slow, conn)
	}
	await(t, func() bool { return pool.Usage().Disk > 14<<20 })
	a := f.do(t, "POST", functions+"/echo/invocations", string(payload)+`"`)
	if a.Status != 429 || a.Header.Get("Retry-After") == "" || !strings.Contains(a.Body, "bodies of other requests") {
		t.Errorf("beyond the budget: got %d %s", a.Status, a.Body[:min(200, len(a.Body))])
	}
	if a := f.do(t, "POST", functions+"/echo/invocations", `"small"`); a.Status != 200 {
		t.Errorf("a small one meanwhile: got %d", a.Status)
	}
	for _, conn := range slow {
		conn.Close()
	}
	await(t, func() bool { return pool.Usage().Disk == 0 })
	if a := f.do(t, "POST", functions+"/echo/invocations", string(payload)+`"`); a.Status != 200 {
		t.Errorf("when there is room: got %d", a.Status)
	}
}

// TestSlowBodiesTakeLittle: many that are nearly complete.
func TestSlowBodiesTakeLittle(t *testing.T) {
	f := start(t)
	f.create(t, "echo", "echo")
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	head := fmt.Sprintf("POST %s/echo/invocations HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n", functions, 2<<20)
	payload := bytes.Repeat([]byte("x"), 2<<20-1)
	const clients = 100
	for range clients {
		conn, err := net.Dial("tcp", strings.TrimPrefix(f.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := conn.Write(append([]byte(head), payload...)); err != nil {
			t.Fatal(err)
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if took := int64(after.HeapAlloc) - int64(before.HeapAlloc); took > clients*100<<10 {
		t.Errorf("%d bodies of 2 MiB take %d KiB of memory", clients, took>>10)
	}
}
