package server_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/cloudjit/cloudjit/internal/client"
	"github.com/cloudjit/cloudjit/internal/config"
	"github.com/cloudjit/cloudjit/internal/ziptest"
)

// maxResident is what the server may take of memory under all floods at once, in bytes.
const maxResident = 400 << 20

// flood is how much of each comes at once. CLOUDJIT_FLOOD=full is what showed the faults.
type flood struct {
	slow, slowBytes      int // connections that send all of a payload but its last byte
	uploads, uploadBytes int // connections with a wrong signature that send an archive
	idle                 int // connections that send nothing
	answers, shouts      int // clients that take nothing of 6 MB; functions that write lines of 60 KB
	events, followers    int // of 1 MB each; readers of logs that read nothing
	lasts                time.Duration
}

// TestFloods: bodies, logs, connections, events and answers that nobody takes, all at once. The server stays
// small, answers others meanwhile, and has all of it back afterwards.
func TestFloods(t *testing.T) {
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	f := flood{slow: 200, slowBytes: 3 << 20, uploads: 30, uploadBytes: 12 << 20, idle: 500, answers: 40, shouts: 4, events: 100, followers: 40, lasts: 8 * time.Second}
	if os.Getenv("CLOUDJIT_FLOOD") == "full" {
		f = flood{slow: 1000, slowBytes: 5 << 20, uploads: 200, uploadBytes: 24 << 20, idle: 5000, answers: 300, shouts: 8, events: 1000, followers: 200, lasts: 30 * time.Second}
	}
	o, _, tmp := newOptions(t)
	o.Config.Policy.Enabled = false
	o.Config.Credentials = []config.Credential{{AccessKeyID: "AKID", SecretAccessKey: "secret"}}
	o.Config.Disk.BodiesMB = 12_000
	server := spawn(t, o, tmp)
	defer func() {
		if err := server.end(syscall.SIGTERM); err != nil {
			t.Errorf("a clean stop: %v", err)
		}
	}()
	t.Setenv("AWS_ACCESS_KEY_ID", "AKID")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	t.Setenv("AWS_REGION", "us-east-1")
	c, err := client.New(server.url)
	if err != nil {
		t.Fatal(err)
	}
	guest := ziptest.Of(t, "bootstrap", string(guestProgram(t)))
	names := []string{"plain", "answer", "sleepy"}
	for i := range f.shouts {
		names = append(names, fmt.Sprint("shout", i))
	}
	for _, name := range names {
		doc := map[string]any{"Runtime": "provided.al2023", "Handler": "x", "MemorySize": 128, "Timeout": 60, "Role": "arn:aws:iam::000000000000:role/r"}
		if _, err := c.Deploy(t.Context(), name, guest, doc, false); err != nil {
			t.Fatal(err)
		}
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	call := func(name, payload string, header http.Header) (int, error) {
		res, err := c.Do(ctx, http.MethodPost, client.FunctionPath(name)+"/invocations", header, []byte(payload))
		var refused *client.Error
		if errors.As(err, &refused) {
			return refused.Status, nil
		}
		if err != nil {
			return 0, err
		}
		defer res.Body.Close()
		_, err = io.Copy(io.Discard, res.Body)
		return res.StatusCode, err
	}
	if status, err := call("plain", `{"id":"x"}`, nil); status != 200 {
		t.Fatalf("before: %d, %v", status, err)
	}
	before := resident(t, server)

	var group sync.WaitGroup
	defer group.Wait()
	defer stop()
	address := strings.TrimPrefix(server.url, "http://")
	var sent, answers atomic.Int64
	hold := func(head string, body []byte) {
		group.Go(func() {
			conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
			if err != nil {
				return
			}
			defer conn.Close()
			end := context.AfterFunc(ctx, func() { conn.Close() })
			defer end()
			if _, err := io.WriteString(conn, head); err == nil {
				if _, err := conn.Write(body); err == nil {
					sent.Add(1)
				}
			}
			<-ctx.Done()
		})
	}
	// Payloads of a right key; whether the signature is right shows with the last byte.
	payload := bytes.Repeat([]byte("x"), f.slowBytes)
	for range f.slow {
		hold(wronglySigned(t, address, client.FunctionPath("plain")+"/invocations", f.slowBytes), payload[1:])
	}
	archive := bytes.Repeat([]byte("x"), f.uploadBytes)
	for range f.uploads {
		hold(wronglySigned(t, address, functionsPath, f.uploadBytes), archive)
	}
	for range f.idle {
		hold("", nil)
	}
	for i := range f.answers {
		group.Go(func() {
			for ctx.Err() == nil {
				res, err := c.Do(ctx, http.MethodPost, client.FunctionPath("answer")+"/invocations", nil, fmt.Appendf(nil, `{"do":"answer","kb":%d,"id":"%d"}`, 6<<10-1, i))
				if err != nil { // 429
					time.Sleep(time.Second)
					continue
				}
				answers.Add(1)
				<-ctx.Done() // of which nothing is read
				res.Body.Close()
			}
		})
	}
	for i := range f.shouts {
		group.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				_, _ = call(fmt.Sprint("shout", i), fmt.Sprintf(`{"do":"shout","kb":60000,"id":"%d"}`, n), nil)
			}
		})
	}
	for i := range f.followers {
		group.Go(func() {
			res, err := c.Do(ctx, http.MethodGet, client.Own+"/functions/"+fmt.Sprint("shout", i%f.shouts)+"/logs?follow=true&lines=1000", nil, nil)
			if err == nil {
				<-ctx.Done()
				res.Body.Close()
			}
		})
	}
	var taken, refused atomic.Int64
	for k := range 8 {
		group.Go(func() {
			for i := k; i < f.events && ctx.Err() == nil; i += 8 {
				event := fmt.Sprintf(`{"ms":200,"id":"%d","pad":%q}`, i, strings.Repeat("x", 1<<20-100))
				status, err := call("sleepy", event, http.Header{"X-Amz-Invocation-Type": {"Event"}})
				switch {
				case err != nil && ctx.Err() == nil:
					t.Errorf("event: %v", err)
				case status == http.StatusAccepted:
					taken.Add(1)
				case status == http.StatusTooManyRequests, status == http.StatusInsufficientStorage:
					refused.Add(1)
				case ctx.Err() == nil:
					t.Errorf("event: got %d", status)
				}
			}
		})
	}
	var most int64
	var times []time.Duration
	answered := 0
	arrived := func() bool {
		return sent.Load() >= int64(f.slow+f.uploads+f.idle) && answers.Load() >= int64(f.answers)
	}
	for began := time.Now(); time.Since(began) < f.lasts || !arrived() && time.Since(began) < 4*f.lasts; time.Sleep(50 * time.Millisecond) {
		most = max(most, resident(t, server))
		began := time.Now()
		status, err := call("plain", fmt.Sprintf(`{"id":"%d"}`, answered), nil)
		if status != 200 && status != 429 {
			t.Errorf("a plain invocation among floods: got %d, %v", status, err)
		}
		times = append(times, time.Since(began))
		answered++
	}
	var held int64
	if kinds, err := c.Disk(ctx); err == nil {
		for _, k := range kinds {
			if k.Kind == "bodies" {
				held = k.Bytes
			}
		}
	}
	if !arrived() {
		t.Errorf("only %d of %d bodies and %d of %d answers have come: the flood was none", sent.Load(), f.slow+f.uploads+f.idle, answers.Load(), f.answers)
	}
	stop()
	group.Wait()
	most = max(most, peak(t, server))
	ctx = t.Context()
	until(t, "a plain invocation is answered afterwards", func() bool {
		status, _ := call("plain", `{"id":"after"}`, nil)
		return status == 200
	})
	until(t, "bodies have given back what they took", func() bool {
		kinds, err := c.Disk(ctx)
		if err != nil {
			return false
		}
		for _, k := range kinds {
			if k.Kind == "bodies" {
				return k.Bytes == 0
			}
		}
		return false
	})
	slices.Sort(times)
	t.Logf("resident: %d MiB before, %d at most; bodies of %d MiB on disk; %d plain invocations answered meanwhile, half of them in %s, the slowest in %s; %d events taken, %d refused",
		before>>20, most>>20, held>>20, answered, times[len(times)/2].Round(time.Millisecond), times[len(times)-1].Round(time.Millisecond), taken.Load(), refused.Load())
	if most > maxResident {
		t.Errorf("the server took %d MiB, want %d at most", most>>20, maxResident>>20)
	}
}

// wronglySigned is the head of a request that is signed with the wrong secret.
func wronglySigned(t *testing.T, address, path string, length int) string {
	t.Helper()
	r, err := http.NewRequest(http.MethodPost, "http://"+address+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	r.ContentLength = int64(length)
	sum := sha256.Sum256([]byte(path))
	if err := v4.NewSigner().SignHTTP(t.Context(), aws.Credentials{AccessKeyID: "AKID", SecretAccessKey: "wrong"}, r, hex.EncodeToString(sum[:]), "lambda", "us-east-1", time.Now()); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("POST %s HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\nX-Amz-Date: %s\r\nAuthorization: %s\r\n\r\n",
		path, address, length, r.Header.Get("X-Amz-Date"), r.Header.Get("Authorization"))
}

func resident(t *testing.T, c *child) int64 { return status(t, c, "VmRSS:") }
func peak(t *testing.T, c *child) int64     { return status(t, c, "VmHWM:") }

// status reads a size from /proc/PID/status, in bytes.
func status(t *testing.T, c *child, field string) int64 {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", c.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, field); ok {
			var kib int64
			if _, err := fmt.Sscan(rest, &kib); err != nil {
				t.Fatal(err)
			}
			return kib << 10
		}
	}
	t.Fatalf("no %s", field)
	return 0
}
