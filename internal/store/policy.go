package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/policy"
)

// Policy says when a function is optimized and how long its workers are kept. A nil field
// leaves the decision to the next wider scope: function, platform, configuration file.
type Policy struct {
	// Optimize false keeps the function on its first rung: nothing is recorded, nothing is built.
	Optimize *bool `json:"optimize,omitempty"`
	// Compare false lets an artifact serve as soon as it comes up, whatever it answers.
	Compare *bool `json:"compare,omitempty"`
	// Threshold: more cold starts than this inside Window ask for a build.
	Threshold *int      `json:"threshold,omitempty"`
	Window    *Duration `json:"window,omitempty"`
	// Prepare says when what makes it start sooner is made: at "deploy", before the first invocation;
	// at "first-use"; or "never".
	Prepare *policy.Prepare `json:"prepare,omitempty"`
	// MaxWait bounds the latency that a shorter keep-alive may add to an invocation; 0: no bound.
	MaxWait *Duration `json:"maxWait,omitempty"`
	// SnapshotAfter is how many invocations, those that were sampled, a worker answers before it is saved as a snapshot; 0: none, it
	// is saved as soon as it is initialized.
	SnapshotAfter *int `json:"snapshotAfter,omitempty"`
	// KeepAlive of an idle worker, at most; 0: stopped at once.
	KeepAlive *Duration `json:"keepAlive,omitempty"`
	// Pause false leaves idle workers running: for applications that work between requests.
	Pause *bool `json:"pause,omitempty"`
	// OnMissing is what happens to an invocation that meets missing metadata.
	OnMissing *function.DeoptMode `json:"onMissing,omitempty"`
	// QueueLimit is the most invocations of the function that wait for a worker.
	QueueLimit *int `json:"queueLimit,omitempty"`
}

// MaxSnapshotAfter bounds Policy.SnapshotAfter.
const MaxSnapshotAfter = 10_000

// Duration is written as Go writes durations: "10m0s".
type Duration time.Duration

// MarshalText writes the duration as Go does.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// UnmarshalText reads what time.ParseDuration reads.
func (d *Duration) UnmarshalText(b []byte) error {
	v, err := time.ParseDuration(string(b))
	if err != nil {
		return fmt.Errorf("duration %q: want a form like \"90s\" or \"10m\"", b)
	}
	*d = Duration(v)
	return nil
}

// Check reports the first field that is out of its range.
func (p *Policy) Check() error {
	switch {
	case p.Threshold != nil && (*p.Threshold < 0 || *p.Threshold > 1_000_000):
		return errors.New("threshold: want 0..1000000")
	case p.Window != nil && (*p.Window < Duration(time.Second) || *p.Window > Duration(24*time.Hour)):
		return errors.New("window: want 1s..24h")
	case p.KeepAlive != nil && (*p.KeepAlive < 0 || *p.KeepAlive > Duration(30*24*time.Hour)):
		return errors.New("keepAlive: want 0s..720h")
	case p.MaxWait != nil && (*p.MaxWait < 0 || *p.MaxWait > Duration(15*time.Minute)):
		return errors.New("maxWait: want 0s..15m")
	case p.SnapshotAfter != nil && (*p.SnapshotAfter < 0 || *p.SnapshotAfter > MaxSnapshotAfter):
		return fmt.Errorf("snapshotAfter: want 0..%d", MaxSnapshotAfter)
	case p.QueueLimit != nil && (*p.QueueLimit < 0 || *p.QueueLimit > 1_000_000):
		return errors.New("queueLimit: want 0..1000000")
	}
	return nil
}

// Over returns p with the fields that it leaves open taken from wider.
func (p Policy) Over(wider Policy) Policy {
	return Policy{
		Optimize: first(p.Optimize, wider.Optimize), Compare: first(p.Compare, wider.Compare), Threshold: first(p.Threshold, wider.Threshold),
		Window: first(p.Window, wider.Window), KeepAlive: first(p.KeepAlive, wider.KeepAlive),
		OnMissing: first(p.OnMissing, wider.OnMissing), QueueLimit: first(p.QueueLimit, wider.QueueLimit),
		Prepare: first(p.Prepare, wider.Prepare), MaxWait: first(p.MaxWait, wider.MaxWait), Pause: first(p.Pause, wider.Pause),
		SnapshotAfter: first(p.SnapshotAfter, wider.SnapshotAfter),
	}
}

func first[T any](a, b *T) *T {
	if a != nil {
		return a
	}
	return b
}

const policySetting = "policy"

// PlatformPolicy is what was set for all functions while the platform ran.
func (s *Store) PlatformPolicy() (Policy, error) {
	var p Policy
	set, ok := s.settings.get(policySetting)
	if !ok {
		return p, nil
	}
	if err := json.Unmarshal(set.Document, &p); err != nil {
		return p, fmt.Errorf("read the platform's policy: %w", err)
	}
	return p, nil
}

// PutPlatformPolicy sets the policy of all functions.
func (s *Store) PutPlatformPolicy(ctx context.Context, p Policy) error {
	doc, err := json.Marshal(p)
	if err != nil {
		return fmt.Errorf("encode policy: %w", err)
	}
	return s.PutSetting(ctx, policySetting, doc)
}

// PolicyOf is the policy that holds for a function: its own, over the platform's, over
// defaults, which has all fields.
func (s *Store) PolicyOf(f *Function, defaults Policy) (Policy, error) {
	wide, err := s.PlatformPolicy()
	if err != nil {
		return Policy{}, err
	}
	p := wide.Over(defaults)
	if f.Policy != nil {
		p = f.Policy.Over(p)
	}
	return p, nil
}
