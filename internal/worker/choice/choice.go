// Package choice is the driver of a node whose functions choose what their workers run in: it is several drivers, of which
// the revision says one (function.Spec.Driver), and else the platform's own.
//
// A driver that only functions ask for is opened when the first one does. The package must not know what drivers there are.
package choice

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/worker"
)

// Kind is one driver that functions may have.
type Kind struct {
	Name string
	// Open makes the driver. It may take seconds.
	Open func() (worker.Driver, error)
	// Look says, without much work, why Open would fail; nil: it need not be looked at.
	Look func() error
}

// Options of New.
type Options struct {
	// Default names the kind of functions that say nothing.
	Default string
	// Kinds that functions may have, the default among them.
	Kinds []Kind
	// Base is a driver that others stand on: it is cleaned besides, and closed after all of them. May be nil.
	Base worker.Driver
	// Setting is what an operator changes to allow another kind, for errors.
	Setting string
}

// Driver is a worker.Driver, and worker.Several.
type Driver struct {
	opt   Options
	own   worker.Driver
	kinds map[string]*kind

	closing sync.Once
	closed  error
}

// kind is one that may be open.
type kind struct {
	Kind
	mu     sync.Mutex
	driver worker.Driver
	err    error // why it is not open
	tried  time.Time
	looked time.Time
	closed bool
	// there is what was found last, by looking or by opening. It can be read while the driver is being opened.
	there atomic.Bool
}

var _ worker.Several = (*Driver)(nil)

const (
	// again is how long a driver that could not be opened is left alone by those that want it, and untold how long nobody is told of
	// it: on several nodes each that is told brings an invocation here, which fails.
	again, untold = 10 * time.Second, 5 * time.Minute
	// lookEvery is how often one is looked for that nobody has asked for yet.
	lookEvery = 10 * time.Second
)

// New opens the default kind.
func New(o Options) (*Driver, error) {
	d := &Driver{opt: o, kinds: map[string]*kind{}}
	for _, k := range o.Kinds {
		d.kinds[k.Name] = &kind{Kind: k}
	}
	own, ok := d.kinds[o.Default]
	if !ok {
		return nil, fmt.Errorf("open drivers: no driver %q", o.Default)
	}
	var err error
	d.own, err = own.get(time.Now())
	return d, err
}

// For implements worker.Several. The error wraps worker.ErrNoDriver.
func (d *Driver) For(rev *function.Spec) (worker.Driver, error) {
	name := d.NameFor(rev)
	k, ok := d.kinds[name]
	if !ok {
		return nil, fmt.Errorf("%w: functions may not choose %s here: this node has %s (%s)", worker.ErrNoDriver, name, strings.Join(d.all(), ", "), d.opt.Setting)
	}
	driver, err := k.get(time.Now())
	if err != nil && !errors.Is(err, worker.ErrClosed) {
		err = fmt.Errorf("%w: %s is not on this node: %w", worker.ErrNoDriver, name, err)
	}
	return driver, err
}

// NameFor is the name of the driver that a revision asks for, whether it is there or not.
func (d *Driver) NameFor(rev *function.Spec) string {
	if rev == nil || rev.Driver == "" {
		return d.opt.Default
	}
	return rev.Driver
}

// all are the kinds that functions may have, as they were given.
func (d *Driver) all() (names []string) {
	for _, k := range d.opt.Kinds {
		names = append(names, k.Name)
	}
	return names
}

// Names are those that can be used now, as far as that is known without opening them.
func (d *Driver) Names() []string {
	var names []string
	for _, name := range d.all() {
		if d.kinds[name].usable(time.Now()) {
			names = append(names, name)
		}
	}
	return names
}

// get is the driver, which is opened if it is not open.
func (k *kind) get(now time.Time) (worker.Driver, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case k.closed:
		return nil, worker.ErrClosed
	case k.driver != nil:
		return k.driver, nil
	case k.err != nil && now.Sub(k.tried) < again:
		return nil, k.err
	}
	k.driver, k.err = k.Open()
	k.tried = time.Now()
	if k.err != nil {
		k.driver = nil
	}
	k.there.Store(k.err == nil)
	return k.driver, k.err
}

// usable reports whether the driver is open, or looks as if it could be.
func (k *kind) usable(now time.Time) bool {
	if !k.mu.TryLock() {
		return k.there.Load() // it is being opened, or looked for
	}
	defer k.mu.Unlock()
	switch {
	case k.driver != nil:
		return true
	case k.closed || k.err != nil && now.Sub(k.tried) < untold:
		return false
	case k.looked.IsZero() || now.Sub(k.looked) >= lookEvery:
		k.there.Store(k.Look == nil || k.Look() == nil)
		k.looked = now
	}
	return k.there.Load()
}

// Name implements worker.Driver: it is the default's.
func (d *Driver) Name() string { return d.own.Name() }

// Capabilities implements worker.Driver: they are the default's.
func (d *Driver) Capabilities() worker.Capabilities { return d.own.Capabilities() }

// Probe implements worker.Driver: of the default.
func (d *Driver) Probe(ctx context.Context) error { return d.own.Probe(ctx) }

// Start implements worker.Driver.
func (d *Driver) Start(ctx context.Context, spec worker.Spec) (worker.Worker, error) {
	driver, err := d.For(spec.Revision)
	if errors.Is(err, worker.ErrClosed) {
		return nil, err
	}
	if err != nil {
		return nil, &worker.StartError{Phase: "sandbox", Err: err}
	}
	return driver.Start(ctx, spec)
}

// Clean implements worker.Driver.
func (d *Driver) Clean(ctx context.Context) (int, error) {
	n, err := d.own.Clean(ctx)
	if d.opt.Base == nil || d.opt.Base == d.own {
		return n, err
	}
	m, more := d.opt.Base.Clean(ctx)
	return n + m, errors.Join(err, more)
}

// Close implements worker.Driver.
func (d *Driver) Close() error {
	d.closing.Do(func() {
		var errs []error
		for _, name := range slices.Backward(d.all()) {
			k := d.kinds[name]
			k.mu.Lock()
			k.closed = true
			driver := k.driver
			k.driver = nil
			k.mu.Unlock()
			if driver != nil && driver != d.opt.Base {
				errs = append(errs, driver.Close())
			}
		}
		if d.opt.Base != nil {
			errs = append(errs, d.opt.Base.Close())
		}
		d.closed = errors.Join(errs...)
	})
	return d.closed
}
