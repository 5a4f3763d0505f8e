package answers

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/cloudjit/cloudjit/internal/client"
	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/ladder"
	"github.com/cloudjit/cloudjit/internal/policy"
	"github.com/cloudjit/cloudjit/internal/store"
)

// Config says what to compare, and where to keep what was made.
type Config struct {
	// Archive of the group, and Key: a hash of all that the artifacts of it are made from and by.
	Archive []byte
	Key     string
	// Platform is a hash of the platform: another one is asked again.
	Platform string
	// Cache is where tool chains and binaries are.
	Cache string
	// Work is a folder for what is made. A later run of the same goes on there.
	Work string
	// Wanted says which columns to ask; nil: all.
	Wanted func(Column) bool
	// Exclusive waits until no other test of the machine builds, and returns its release.
	Exclusive func() (release func(), err error)
	// Log is called with a sentence about what is done now.
	Log func(string)
}

// spares is how many functions share the artifacts of a column in which most features step back: with each step
// back a function has left the rung, and only a platform that starts from the prepared state has it again.
const spares = 6

// Result is what a group gave.
type Result struct {
	Rows    []Row
	Columns []Column
	// Unmade are the columns whose artifact could not be made, with the reason.
	Unmade map[string]string
}

// Run makes the rows of a group.
func Run(ctx context.Context, c Config, g Group) (*Result, error) {
	r := &run{Config: c, group: g, dir: filepath.Join(c.Work, g.Name+"-"+c.Key)}
	if err := r.forgetOthers(); err != nil {
		return nil, err
	}
	plain, err := r.plain(ctx)
	if err != nil {
		return nil, fmt.Errorf("%s on HotSpot: %w", g.Name, err)
	}
	result := &Result{Unmade: map[string]string{}}
	var answers []map[string]Answer
	for _, column := range plain.Columns {
		if c.Wanted != nil && !c.Wanted(column) {
			continue
		}
		got, err := r.column(ctx, column, plain.Features)
		if err != nil {
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			c.Log(err.Error())
			result.Unmade[column.String()] = err.Error()
		}
		result.Columns = append(result.Columns, column)
		answers = append(answers, got)
	}
	result.Rows = Compare(g.Name, plain.Features, plain.Answers, result.Columns, answers)
	return result, nil
}

type run struct {
	Config
	group Group
	dir   string
}

// forgetOthers removes what earlier archives of the group left.
func (r *run) forgetOthers() error {
	others, err := filepath.Glob(filepath.Join(r.Work, r.group.Name+"-*"))
	if err != nil {
		return err
	}
	for _, other := range others {
		if other != r.dir {
			err = errors.Join(err, os.RemoveAll(other))
		}
	}
	return errors.Join(err, os.MkdirAll(filepath.Join(r.dir, r.Platform), 0o755))
}

// observed is what plain HotSpot showed, as it is kept.
type observed struct {
	Features []string
	Columns  []Column
	Answers  [2]map[string]Answer
}

// plain calls all features on two workers on HotSpot of functions that are never optimized.
func (r *run) plain(ctx context.Context) (o observed, err error) {
	if r.load("plain", &o) {
		return o, nil
	}
	p, err := r.fresh(ctx, "plain.tmp", idle)
	if err != nil {
		return o, err
	}
	defer func() { err = errors.Join(err, p.stop(), os.RemoveAll(filepath.Join(r.dir, "plain.tmp"))) }()
	for i := range o.Answers {
		name := fmt.Sprint("plain-", i)
		if err := p.deploy(ctx, name, r.group, r.Archive, store.Policy{Optimize: new(bool)}); err != nil {
			return o, err
		}
		list, _, err := p.call(ctx, name, "")
		if err != nil || list.Failed {
			return o, fmt.Errorf("list the features: %w %s", err, list.Text)
		}
		o.Features = strings.Split(list.Text, "\n")
		r.Log(fmt.Sprintf("%s: %d features on HotSpot", r.group.Name, len(o.Features)))
		if o.Answers[i], err = r.all(ctx, p, name, o.Features); err != nil {
			return o, err
		}
	}
	rungs, err := p.rungs(ctx, "plain-0")
	if err != nil {
		return o, err
	}
	o.Columns = append([]Column{{Rung: ladder.HotSpot, Recording: true}}, rungs...)
	return o, r.save("plain", &o)
}

// all calls every feature of a function, whatever rung answers.
func (r *run) all(ctx context.Context, p *platform, name string, features []string) (map[string]Answer, error) {
	answers := map[string]Answer{}
	for _, feature := range features {
		a, _, err := p.call(ctx, name, feature)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", feature, err)
		}
		answers[feature] = a
	}
	return answers, nil
}

// column asks all features on a rung. Answers that a former run of the same platform got are not asked again.
func (r *run) column(ctx context.Context, c Column, features []string) (map[string]Answer, error) {
	answers := map[string]Answer{}
	r.load(c.file(), &answers)
	pending := slices.DeleteFunc(slices.Clone(features), func(f string) bool { _, ok := answers[f]; return ok })
	if len(pending) == 0 {
		return answers, nil
	}
	if c.Recording {
		answers, err := r.recording(ctx, features)
		if err != nil {
			return nil, fmt.Errorf("%s for %s: %w", c, r.group.Name, err)
		}
		return answers, r.save(c.file(), answers)
	}
	functions, err := r.prepared(ctx, c, features)
	if err != nil {
		return nil, fmt.Errorf("%s for %s: %w", c, r.group.Name, err)
	}
	for len(pending) > 0 {
		n := len(pending)
		if pending, err = r.ask(ctx, c, functions, pending, answers); err != nil {
			return nil, fmt.Errorf("%s for %s: %w", c, r.group.Name, err)
		}
		if err := r.save(c.file(), answers); err != nil {
			return nil, err
		}
		r.Log(fmt.Sprintf("%s, %s: %d of %d features", r.group.Name, c, len(features)-len(pending), len(features)))
		if len(pending) == n {
			return nil, fmt.Errorf("%s for %s: no feature could be asked", c, r.group.Name)
		}
	}
	return answers, nil
}

// recording asks the worker that traces.
func (r *run) recording(ctx context.Context, features []string) (answers map[string]Answer, err error) {
	p, err := r.fresh(ctx, "recording.tmp", tracing)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, p.stop(), os.RemoveAll(filepath.Join(r.dir, "recording.tmp"))) }()
	own := store.Policy{Prepare: new(policy.Prepare)}
	*own.Prepare = policy.PrepareNever
	if err := p.deploy(ctx, "recorded", r.group, r.Archive, own); err != nil {
		return nil, err
	}
	if answers, err = r.all(ctx, p, "recorded", features); err != nil {
		return nil, err
	}
	return answers, p.traces(ctx, "recorded")
}

// ask starts the platform from the prepared state and asks until no function of it is on the rung any more. It
// returns what is left to be asked.
func (r *run) ask(ctx context.Context, c Column, functions, pending []string, answers map[string]Answer) (left []string, err error) {
	data := filepath.Join(r.dir, "asked.tmp")
	if err := r.copyState(ctx, c, data); err != nil {
		return nil, err
	}
	p, err := start(ctx, r.Cache, data, idle)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, p.stop(), os.RemoveAll(data)) }()
	for _, name := range functions {
		if len(pending) == 0 {
			break
		}
		if err := p.serving(ctx, name, c.Rung); err != nil {
			return nil, err
		}
		for len(pending) > 0 {
			feature := pending[0]
			a, from, err := p.call(ctx, name, feature)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", feature, err)
			}
			if !a.Failed && from != c.Rung { // a worker of the rung below that was there still
				if err := p.serving(ctx, name, c.Rung); err != nil {
					return nil, err
				}
				if a, from, err = p.call(ctx, name, feature); err != nil {
					return nil, fmt.Errorf("%s: %w", feature, err)
				}
				a.SteppedBack = a.SteppedBack || !a.Failed && from != c.Rung
			}
			answers[feature] = a
			pending = pending[1:]
			if a.SteppedBack || a.Failed {
				break // the rung is left, or a second failure would leave it
			}
		}
	}
	return pending, nil
}

// prepared brings functions to a rung, and keeps the platform's data as they are then.
func (r *run) prepared(ctx context.Context, c Column, features []string) (functions []string, err error) {
	n := 1
	if c.Untraced {
		n = spares
	}
	for i := range n {
		functions = append(functions, fmt.Sprint("features-", i))
	}
	state := r.state(c)
	if _, err := os.Stat(state); err == nil {
		return functions, nil
	}
	release, err := r.Exclusive()
	if err != nil {
		return nil, err
	}
	defer release()
	with := idle
	if c.traced() {
		with = tracing
	}
	p, err := r.fresh(ctx, "making.tmp", with)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(filepath.Join(r.dir, "making.tmp"))) }()
	for _, name := range functions {
		if err := r.prepare(ctx, p, c, name, features); err != nil {
			return nil, errors.Join(err, p.stop())
		}
	}
	if err := p.stop(); err != nil {
		return nil, err
	}
	return functions, os.Rename(filepath.Join(r.dir, "making.tmp"), state)
}

// prepare brings one function to a rung by what a user has for it.
func (r *run) prepare(ctx context.Context, p *platform, c Column, name string, features []string) error {
	own := store.Policy{OnMissing: new(function.DeoptMode), Prepare: new(policy.Prepare)}
	*own.OnMissing, *own.Prepare = function.DeoptError, policy.PrepareNever
	if err := p.deploy(ctx, name, r.group, r.Archive, own); err != nil {
		return err
	}
	if !c.traced() { // before it is called: what records for it may be a worker of its own
		if err := p.Optimize(ctx, name, c.Rung); err != nil {
			return err
		}
	}
	if c.Untraced {
		features = []string{"nothing"}
	}
	if _, err := r.all(ctx, p, name, features); err != nil {
		return err
	}
	if c.traced() {
		if err := p.traces(ctx, name); err != nil {
			return err
		}
		if err := p.recorded(ctx, name); err != nil {
			return err
		}
		if err := p.Optimize(ctx, name, c.Rung); err != nil {
			return err
		}
	}
	if c.Rung == ladder.NativeProfiled {
		if err := r.profiled(ctx, p, name, own, c.Rung, features); err != nil {
			return err
		}
	}
	return p.ready(ctx, name, c.Rung, r.Log)
}

// traces is an error unless the worker that answered was the tracer's.
func (p *platform) traces(ctx context.Context, name string) error {
	workers, err := p.Workers(ctx)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(workers, func(w client.Worker) bool {
		return string(w.Function) == name && w.Recording == ladder.RecordingMetadata
	}) {
		return fmt.Errorf("nothing traces %s", name)
	}
	return nil
}

// traced: the rung's artifact is made from what the tracer recorded.
func (c Column) traced() bool { return c.Rung == ladder.Native || c.Rung == ladder.NativeProfiled }

func (c Column) file() string {
	return strings.NewReplacer(", ", "-", " ", "-").Replace(c.String())
}

// state is where the platform's data is kept with a column's functions on their rung.
func (r *run) state(c Column) string { return filepath.Join(r.dir, "state-"+c.file()) }

func (r *run) copyState(ctx context.Context, c Column, to string) error {
	if err := os.RemoveAll(to); err != nil {
		return err
	}
	if out, err := exec.CommandContext(ctx, "cp", "-a", r.state(c), to).CombinedOutput(); err != nil {
		return fmt.Errorf("copy the platform's data: %w: %s", err, out)
	}
	return nil
}

// fresh starts a platform with nothing in it.
func (r *run) fresh(ctx context.Context, name, policyName string) (*platform, error) {
	data := filepath.Join(r.dir, name)
	if err := os.RemoveAll(data); err != nil {
		return nil, err
	}
	return start(ctx, r.Cache, data, policyName)
}

func (r *run) load(name string, to any) bool {
	b, err := os.ReadFile(filepath.Join(r.dir, r.Platform, name+".json"))
	return err == nil && json.Unmarshal(b, to) == nil
}

func (r *run) save(name string, v any) error {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", " ")
	if err := e.Encode(v); err != nil {
		return err
	}
	file := filepath.Join(r.dir, r.Platform, name+".json")
	if err := os.WriteFile(file+".tmp", b.Bytes(), 0o644); err != nil {
		return err
	}
	return os.Rename(file+".tmp", file)
}

// HashOf is a hash of contents.
func HashOf(contents ...[]byte) string {
	h := sha256.New()
	for _, c := range contents {
		fmt.Fprintln(h, len(c))
		h.Write(c)
	}
	return hex.EncodeToString(h.Sum(nil))[:16]
}
