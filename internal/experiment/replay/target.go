package replay

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/cloudjit/cloudjit/internal/client"
	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/store"
)

// name is that of a function of the plan on the platform.
func name(number int) string { return fmt.Sprintf("trace-%04d", number) }

// deploy makes each function of the plan one of the platform, one after the other: their order
// is that of the engine's log.
func (o *Options) deploy(ctx context.Context, c *client.Client) error {
	archive, err := os.ReadFile(o.Archive)
	if err != nil {
		return fmt.Errorf("deploy: %w (build the function first: make samples)", err)
	}
	longest := make([]time.Duration, len(o.Plan.Functions))
	for i := range o.Plan.Invocations {
		inv := &o.Plan.Invocations[i]
		longest[inv.Function] = max(longest[inv.Function], inv.Duration)
	}
	for i := range o.Plan.Functions {
		code := archive
		if !o.ShareBuilds {
			if code, err = mark(archive, name(i)); err != nil {
				return fmt.Errorf("deploy %s: %w", name(i), err)
			}
		}
		_, err := c.Deploy(ctx, name(i), code, map[string]any{
			"Runtime": "java21", "Handler": o.Handler, "MemorySize": o.Plan.MemoryMiB(i),
			// Twice its longest invocation and a minute; Lambda's limit is 15 minutes.
			"Timeout": int(min(2*longest[i]+time.Minute, 15*time.Minute).Seconds()),
			"Role":    "arn:aws:iam::000000000000:role/cloudjit",
		}, false)
		if err != nil {
			return fmt.Errorf("deploy %s: %w", name(i), err)
		}
	}
	return nil
}

// mark adds a file with the function's name to the archive. A binary belongs to the content
// of the archive it was built from: without this, functions that differ in their name alone would
// share the first one's binary, and only one of them would pay for its build.
func mark(archive []byte, name string) ([]byte, error) {
	in, err := zip.NewReader(bytes.NewReader(archive), int64(len(archive)))
	if err != nil {
		return nil, fmt.Errorf("read archive: %w", err)
	}
	var b bytes.Buffer
	out := zip.NewWriter(&b)
	for _, f := range in.File {
		if f.FileInfo().IsDir() {
			continue // nothing looks for these
		}
		if err := out.Copy(f); err != nil {
			return nil, fmt.Errorf("copy archive: %w", err)
		}
	}
	w, err := out.Create("replay/function")
	if err == nil {
		_, err = io.WriteString(w, name)
	}
	if err = errors.Join(err, out.Close()); err != nil {
		return nil, fmt.Errorf("write archive: %w", err)
	}
	return b.Bytes(), nil
}

// builds are those of all functions, by the time they were started.
func (o *Options) builds(ctx context.Context, c *client.Client) ([]*store.Build, error) {
	var all []*store.Build
	for i := range o.Plan.Functions {
		rev, err := c.Latest(ctx, name(i))
		if err != nil {
			return nil, fmt.Errorf("read builds of %s: %w", name(i), err)
		}
		all = append(all, rev.Builds...)
	}
	slices.SortFunc(all, func(a, b *store.Build) int { return a.QueuedAt.Compare(b.QueuedAt) })
	return all, nil
}

// longestPreparation is how long a replay waits for what is made before the first invocation.
const longestPreparation = 10 * time.Minute

// prepared waits until no build of the deployed functions is under way. A build may be the reason for the next,
// so there must be none for some seconds.
func (o *Options) prepared(ctx context.Context, c *client.Client) error {
	const every, quiet = time.Second, 5
	deadline := time.Now().Add(longestPreparation)
	for idle := 0; idle < quiet; idle++ {
		all, err := o.builds(ctx, c)
		if err != nil {
			return err
		}
		under := slices.IndexFunc(all, func(b *store.Build) bool { return b.EndedAt == nil })
		if under >= 0 {
			if idle = -1; time.Now().After(deadline) {
				return fmt.Errorf("the build %s of what is made before the first invocation is not at its end after %v", all[under].ID, longestPreparation)
			}
		}
		select {
		case <-time.After(every):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// target is a deployed function.
type target struct {
	client    *client.Client
	path      string
	megabytes int
	busy      int // percent

	mu    sync.Mutex
	wrong string
}

func newTarget(c *client.Client, name string, megabytes, busy int) *target {
	return &target{client: c, path: client.FunctionPath(name) + "/invocations", megabytes: megabytes, busy: busy}
}

// ask invokes the function for a call and fills in how it went, but for the response's time.
func (t *target) ask(ctx context.Context, call *Call) {
	milliseconds := int(call.Duration / time.Millisecond)
	event := fmt.Appendf(nil, `{"megabytes":%d,"milliseconds":%d,"busy":%d}`, t.megabytes, milliseconds, t.busy)
	resp, err := t.client.Do(ctx, http.MethodPost, t.path, http.Header{"Content-Type": {"application/json"}}, event)
	var refused *client.Error
	switch {
	case errors.As(err, &refused):
		t.note(call, refused.Code, refused.Error())
		return
	case err != nil && ctx.Err() != nil:
		call.Kind = kindUnfinished
		return
	case err != nil:
		t.note(call, kindTransport, err.Error())
		return
	}
	defer resp.Body.Close()
	call.Rung = function.Rung(resp.Header.Get("X-Cloudjit-Rung"))
	call.Cold = resp.Header.Get("X-Cloudjit-Cold") == "true"
	body, err := io.ReadAll(resp.Body)
	switch {
	case err != nil && ctx.Err() != nil:
		call.Kind = kindUnfinished
	case err != nil:
		t.note(call, kindTransport, err.Error())
	case resp.Header.Get("X-Amz-Function-Error") != "":
		t.note(call, kindFunction, string(body))
	default:
		if why := t.check(body, milliseconds); why != "" {
			t.note(call, kindWrong, why)
		}
	}
}

// firstDigest is what the work sample computes first: SHA-256 of a kilobyte of zeros.
var firstDigest = fmt.Sprintf("%x", sha256.Sum256(make([]byte, 1024)))

// check says what is wrong with an answer of the work sample.
func (t *target) check(body []byte, milliseconds int) string {
	var got struct {
		Megabytes, Milliseconds int
		Digest                  string
	}
	if err := json.Unmarshal(body, &got); err != nil {
		return fmt.Sprintf("not the answer of the work sample: %.200s", body)
	}
	if got.Megabytes != t.megabytes || got.Milliseconds != milliseconds || got.Digest != firstDigest {
		return fmt.Sprintf("got %.200s, want %d megabytes, %d milliseconds and the digest %s", body, t.megabytes, milliseconds, firstDigest)
	}
	return ""
}

func (t *target) note(call *Call, kind, what string) {
	call.Kind = kind
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.wrong == "" {
		t.wrong = kind + ": " + what
	}
}

func (t *target) firstWrong() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.wrong
}
