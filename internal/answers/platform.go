package answers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/cloudjit/cloudjit/internal/client"
	"github.com/cloudjit/cloudjit/internal/config"
	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/ladder"
	"github.com/cloudjit/cloudjit/internal/pipeline"
	"github.com/cloudjit/cloudjit/internal/policy"
	"github.com/cloudjit/cloudjit/internal/server"
	"github.com/cloudjit/cloudjit/internal/store"
)

// platform is a server on a data folder, and its client.
type platform struct {
	*client.Client
	server *server.Server
	log    *os.File
}

// The policies of the platform. Neither makes anything by itself; with the tracing one the first worker of each
// function that may be optimized traces.
const (
	idle    = "none"
	tracing = "paper"
)

// start starts a server on a data folder.
func start(ctx context.Context, cache, data, policyName string) (*platform, error) {
	if err := os.MkdirAll(data, 0o755); err != nil {
		return nil, err
	}
	c := config.Default()
	c.Listen, c.Data = "127.0.0.1:0", data
	c.Policy.Name, c.Policy.Threshold, c.Policy.OptimizeAfter = policyName, 1_000_000, 0
	c.Policy.TraceInvocations = 100_000
	c.Policy.Prepare = policy.PrepareNever.String()
	c.Checks.Enabled, c.Checks.Samples = false, 0 // what an artifact answers is what is looked at here
	c.Builder.Time = 3 * time.Hour                // a busy machine
	log, err := os.OpenFile(filepath.Join(data, "server.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	s, err := server.Start(ctx, server.Options{Config: c, Cache: cache, Version: "answers", Log: slog.New(slog.NewTextHandler(log, nil))})
	if err != nil {
		return nil, errors.Join(err, log.Close())
	}
	cl, err := client.New("http://" + s.Addr().String())
	if err != nil {
		return nil, errors.Join(err, s.Stop(ctx), log.Close())
	}
	return &platform{Client: cl, server: s, log: log}, nil
}

func (p *platform) stop() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	p.HTTP().CloseIdleConnections()
	return errors.Join(p.server.Stop(ctx), p.log.Close())
}

// deploy makes a function of a group.
func (p *platform) deploy(ctx context.Context, name string, g Group, archive []byte, own store.Policy) error {
	_, err := p.Deploy(ctx, name, archive, map[string]any{
		"Runtime": "java25", "Handler": g.Handler, "MemorySize": 1024, "Timeout": 120, "Role": "arn:aws:iam::000000000000:role/cloudjit",
		"Environment":    map[string]any{"Variables": map[string]string{"MY_SETTING": "mine", "JAVA_TOOL_OPTIONS": "-Dmy.flag=true -Dmy.other=a"}},
		"CloudjitPolicy": own,
	}, false)
	return err
}

// missing is the type of the error that a caller gets where a binary stepped back and nothing is to run again.
const missing = "CloudJIT.MissingMetadata"

// call asks for one feature, and says which rung answered.
func (p *platform) call(ctx context.Context, name, feature string) (Answer, function.Rung, error) {
	payload, err := json.Marshal(feature)
	if err != nil {
		return Answer{}, "", err
	}
	resp, err := p.Do(ctx, http.MethodPost, client.FunctionPath(name)+"/invocations", nil, payload)
	if err != nil {
		return Answer{}, "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return Answer{}, "", fmt.Errorf("read answer: %w", err)
	}
	rung := function.Rung(resp.Header.Get("X-Cloudjit-Rung"))
	if resp.Header.Get("X-Amz-Function-Error") == "" {
		var text string
		if err := json.Unmarshal(body, &text); err != nil {
			return Answer{}, "", fmt.Errorf("answer of %s: %w", feature, err)
		}
		return Answer{Text: text}, rung, nil
	}
	var doc struct {
		Type    string `json:"errorType"`
		Message string `json:"errorMessage"`
	}
	if err := json.Unmarshal(body, &doc); err != nil {
		return Answer{}, "", fmt.Errorf("error of %s: %w", feature, err)
	}
	return Answer{Text: doc.Type, Failed: true, SteppedBack: doc.Type == missing}, rung, nil
}

// ready waits until a rung is ready, or its build or check failed.
func (p *platform) ready(ctx context.Context, name string, rung function.Rung, log func(string)) error {
	shown := ""
	for {
		rev, err := p.Latest(ctx, name)
		if err != nil {
			return err
		}
		if rev.Pipeline != nil {
			r := rev.Pipeline.Of(rung)
			switch {
			case r == nil:
				return fmt.Errorf("the ladder of %s has no rung %s", name, rung)
			case r.Phase == pipeline.PhaseReady:
				return nil
			case r.Failures > 0 || r.Falls > 0:
				return fmt.Errorf("%s of %s failed: %s %s", rung, name, r.Reason, lastWords(rev))
			}
			if state := rev.Pipeline.State(); state != shown {
				shown = state
				log(name + ": " + state)
			}
		}
		if err := pause(ctx, 200*time.Millisecond); err != nil {
			return fmt.Errorf("wait for %s of %s: %w", rung, name, err)
		}
	}
}

// lastWords are what the last build and the last step of a revision say.
func lastWords(rev *client.Revision) string {
	var words string
	if n := len(rev.Builds); n > 0 {
		words = rev.Builds[n-1].State + ": " + rev.Builds[n-1].Reason
	}
	if n := len(rev.History); n > 0 {
		words += "; " + rev.History[n-1].Reason
	}
	return words
}

// profileMost bounds how long a profile is recorded.
const profileMost = 10 * time.Minute

// profiled asks all features over and over, as ordinary traffic, until a rung is made of what was recorded of it.
func (r *run) profiled(ctx context.Context, p *platform, name string, own store.Policy, rung function.Rung, features []string) error {
	brief := own
	brief.KeepAlive = new(store.Duration) // the tracer's worker ends, so that another one can record
	if err := p.SetPolicy(ctx, name, brief); err != nil {
		return err
	}
	for rounds, end := 1, time.Now().Add(profileMost); ; rounds++ {
		if _, err := r.all(ctx, p, name, features); err != nil {
			return err
		}
		rev, err := p.Latest(ctx, name)
		if err != nil {
			return err
		}
		if s := rev.Pipeline.Of(rung); s == nil || s.Phase != pipeline.PhaseAbsent || s.Failures > 0 {
			r.Log(fmt.Sprintf("%s: a profile of %d rounds", name, rounds))
			return p.SetPolicy(ctx, name, own)
		}
		if time.Now().After(end) {
			return fmt.Errorf("%s has recorded no profile in %s: %s", name, profileMost, lastWords(rev))
		}
	}
}

// serving waits until a function's answers come from a rung: a worker of the rung below that is idle serves once more.
func (p *platform) serving(ctx context.Context, name string, rung function.Rung) error {
	for range 100 {
		a, from, err := p.call(ctx, name, "nothing")
		switch {
		case err != nil:
			return err
		case a.Failed:
			return fmt.Errorf("%s does not answer on %s: %s", name, rung, a.Text)
		case from == rung:
			return nil
		}
		if err := pause(ctx, 100*time.Millisecond); err != nil {
			return err
		}
	}
	return fmt.Errorf("%s does not run on %s", name, rung)
}

// recorded waits until nothing is added to the metadata of a function any more.
func (p *platform) recorded(ctx context.Context, name string) error {
	var last time.Time
	number := -1
	for {
		rev, err := p.Latest(ctx, name)
		if err != nil {
			return err
		}
		n := 0
		if len(rev.Metadata) > 0 {
			n = rev.Metadata[len(rev.Metadata)-1].Number
		}
		if n != number {
			number, last = n, time.Now()
		}
		if n > 0 && time.Since(last) > 4*time.Second {
			return nil
		}
		if err := pause(ctx, 200*time.Millisecond); err != nil {
			return fmt.Errorf("wait for the trace of %s: %w", name, err)
		}
	}
}

// rungs are the columns of the ladder above the first rung: of each kind of artifact the first rung, which stands
// for those that run the same otherwise optimized; binaries also without a trace, and with a profile, as our inliner has worked on them.
func (p *platform) rungs(ctx context.Context, name string) ([]Column, error) {
	rev, err := p.Latest(ctx, name)
	if err != nil {
		return nil, err
	}
	if rev.Pipeline == nil {
		return nil, fmt.Errorf("%s has no pipeline", name)
	}
	var columns []Column
	for _, r := range rev.Pipeline.Ladder[1:] {
		switch r.Rung {
		case ladder.AOTCacheC2, ladder.NativeOptimized, ladder.NativeInstrumented:
			continue
		}
		columns = append(columns, Column{Rung: r.Rung})
		if r.Rung == ladder.Native {
			columns = append(columns, Column{Rung: r.Rung, Untraced: true})
		}
	}
	return columns, nil
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
