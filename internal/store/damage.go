package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/cloudjit/cloudjit/internal/health"
)

// damage is what was lost and repaired and nobody has acknowledged yet. It outlives the server.
type damage struct {
	path string

	mu       sync.Mutex
	problems []health.Problem
}

const damageFile = "damage.json"

// openDamage reads what an earlier server noted. A file that cannot be read is told of as damage itself.
func openDamage(dir string) *damage {
	d := &damage{path: filepath.Join(dir, damageFile)}
	b, err := os.ReadFile(d.path)
	if errors.Is(err, fs.ErrNotExist) {
		return d
	}
	if err == nil {
		err = json.Unmarshal(b, &d.problems)
	}
	if err != nil {
		d.problems = []health.Problem{{Component: "store", Since: time.Now().UTC(), Lost: []string{"the list of earlier damage"},
			Message: fmt.Sprintf("%s cannot be read: %v", d.path, err)}}
	}
	return d
}

// add notes damage. It is kept in memory where it cannot be written down.
func (d *damage) add(p health.Problem) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	i := slices.IndexFunc(d.problems, func(q health.Problem) bool { return q.Component == p.Component && q.Message == p.Message })
	if i < 0 {
		d.problems = append(d.problems, p)
	} else {
		q := &d.problems[i]
		for _, what := range p.Lost {
			if !slices.Contains(q.Lost, what) {
				q.Lost = append(q.Lost, what)
			}
		}
		q.Repaired = append(q.Repaired, p.Repaired...)
	}
	b, err := json.MarshalIndent(d.problems, "", "  ")
	if err != nil {
		return err
	}
	return replaceFile(d.path, b)
}

// replaceFile writes a file anew: a killed server leaves the old one whole, or the new one.
func replaceFile(path string, b []byte) error {
	if err := os.WriteFile(path+".new", b, 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

func (d *damage) list() []health.Problem {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.problems)
}

func (d *damage) clear() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := os.Remove(d.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	d.problems = nil
	return nil
}

// Doubtful reports whether something was lost that nobody has acknowledged: what nothing refers to may be what
// the lost things referred to, and is not to be removed.
func (s *Store) Doubtful() bool {
	return slices.ContainsFunc(s.damage.list(), func(p health.Problem) bool { return len(p.Lost) > 0 })
}

// Acknowledge forgets what was lost and repaired: somebody has read it.
func (s *Store) Acknowledge() error {
	if err := s.damage.clear(); err != nil {
		return fmt.Errorf("acknowledge what was lost: %w", err)
	}
	return nil
}

// Report notes damage that was found somewhere in the data folder: in the log, and for Problems.
func (s *Store) Report(p health.Problem) {
	p.Since = time.Now().UTC()
	for _, what := range p.Lost {
		s.log.Error("lost", "component", p.Component, "what", what, "because", p.Message)
	}
	for _, what := range p.Repaired {
		s.log.Warn("repaired", "component", p.Component, "what", what, "because", p.Message)
	}
	if err := s.damage.add(p); err != nil {
		s.log.Error("note what was damaged", "error", err)
	}
}

// lose reports one thing that is not there any more.
func (s *Store) lose(component, what string) {
	s.Report(health.Problem{Component: component, Message: "What is on the disk is not what was written.", Lost: []string{what}})
}
