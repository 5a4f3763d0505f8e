package keep

import (
	"context"
	gosync "sync"

	"github.com/cloudjit/cloudjit/internal/aot"
)

// Flight lets the callers that want an equal key at the same time share one build. The zero value is
// ready.
type Flight struct {
	mu       gosync.Mutex
	building map[aot.Key]*call
}

// call is a build that one or more callers wait for.
type call struct {
	done    chan struct{}
	cancel  context.CancelFunc
	waiting int
	result  *aot.Result
	err     error
}

// Do returns the result of build, which the first caller of a key gives and all of them wait for; its
// context ends when the last of them has gone.
func (f *Flight) Do(ctx context.Context, key aot.Key, build func(context.Context) (*aot.Result, error)) (*aot.Result, error) {
	if ctx.Err() != nil {
		return nil, Cancelled(ctx.Err())
	}
	f.mu.Lock()
	c := f.building[key]
	if c == nil {
		c = f.start(key, build)
	}
	c.waiting++
	f.mu.Unlock()

	select {
	case <-c.done:
		return c.result, c.err
	case <-ctx.Done():
	}
	f.mu.Lock()
	c.waiting--
	last := c.waiting == 0
	if last {
		// Nobody may join a build that ends.
		if f.building[key] == c {
			delete(f.building, key)
		}
		c.cancel()
	}
	f.mu.Unlock()
	if last {
		<-c.done // nothing is left behind when Do returns
		if c.err == nil {
			return c.result, nil
		}
	}
	return nil, Cancelled(ctx.Err())
}

// start is called with mu held.
func (f *Flight) start(key aot.Key, build func(context.Context) (*aot.Result, error)) *call {
	// The build belongs to all its callers, so it outlives the first one's context.
	ctx, cancel := context.WithCancel(context.Background())
	c := &call{done: make(chan struct{}), cancel: cancel}
	if f.building == nil {
		f.building = map[aot.Key]*call{}
	}
	f.building[key] = c
	go func() {
		defer cancel()
		result, err := build(ctx)
		f.mu.Lock()
		c.result, c.err = result, err
		if f.building[key] == c {
			delete(f.building, key)
		}
		f.mu.Unlock()
		close(c.done)
	}()
	return c
}

// Cancelled is the error of a build whose context ended.
func Cancelled(err error) *aot.Error {
	return &aot.Error{Class: aot.ClassCancelled, Reason: "the build was cancelled", Err: err}
}
