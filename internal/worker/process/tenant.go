package process

import (
	"golang.org/x/time/rate"

	"github.com/cloudjit/cloudjit/internal/worker"
)

// tenant is what all workers of one function share, and no other function has. The jobs that handle what
// it wrote are a tenant of their own.
type tenant struct {
	key    string
	output *quota
	uid    int // the host's user; -1 where all workers have the server's
	second int // the one that is user 0 of sandboxes that can be saved; 0: none was asked for

	workers int // under Driver.mu
}

// admit returns the tenant of one more worker or job; leave must follow.
func (d *Driver) admit(spec *worker.Spec, job bool) (*tenant, error) {
	key := string(spec.Revision.Function)
	if job {
		key += "/job" // no function has a name with a slash
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	t := d.tenants[key]
	if t == nil {
		t = &tenant{key: key, output: newQuota(), uid: -1}
		if d.users != nil {
			var err error
			if t.uid, err = d.users.take(); err != nil {
				return nil, err
			}
		}
		if job {
			// Why a tool failed stands at the end of what it says. Who reads that keeps its ends only.
			t.output.keeps, t.output.patient = rate.NewLimiter(rate.Inf, 0), true
		}
		d.tenants[key] = t
	}
	t.workers++
	return t, nil
}

// leave says that nothing is left of one of a tenant's workers.
func (d *Driver) leave(t *tenant) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if t.workers--; t.workers == 0 {
		delete(d.tenants, t.key)
		if t.uid >= 0 {
			d.users.give(t.uid)
		}
		if t.second > 0 {
			d.users.give(t.second)
		}
	}
}

// secondUser is the other user of a tenant, who is nobody else's either.
func (d *Driver) secondUser(t *tenant) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var err error
	if t.second == 0 {
		t.second, err = d.users.take()
	}
	return t.second, err
}
