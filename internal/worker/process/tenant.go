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

	workers int // under Driver.mu
}

// admit returns the tenant of one more worker or job; leave must follow.
func (d *Driver) admit(spec *worker.Spec, job bool) *tenant {
	key := string(spec.Revision.Function)
	if job {
		key += "/job" // no function has a name with a slash
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	t := d.tenants[key]
	if t == nil {
		t = &tenant{key: key, output: newQuota()}
		if job {
			// Why a tool failed stands at the end of what it says. Who reads that keeps its ends only.
			t.output.keeps, t.output.patient = rate.NewLimiter(rate.Inf, 0), true
		}
		d.tenants[key] = t
	}
	t.workers++
	return t
}

// leave says that nothing is left of one of a tenant's workers.
func (d *Driver) leave(t *tenant) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if t.workers--; t.workers == 0 {
		delete(d.tenants, t.key)
	}
}
