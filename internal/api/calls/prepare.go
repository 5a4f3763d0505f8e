package calls

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/cloudjit/cloudjit/internal/api/gate"
	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/node"
	"github.com/cloudjit/cloudjit/internal/policy"
	"github.com/cloudjit/cloudjit/internal/store"
)

// Resume hands all functions to the platform and goes on with what an earlier server had begun.
func (s *Runner) Resume(ctx context.Context) error {
	for _, fn := range s.Store.Functions() {
		if err := s.Platform.Sync(ctx, fn.Name); err != nil {
			return fmt.Errorf("serve function %s: %w", fn.Name, err)
		}
		s.Prepare(fn)
	}
	if p, ok := s.Platform.(interface{ Sweep() }); ok {
		p.Sweep()
	}
	return nil
}

// Changed takes a change of a function that another node may have made.
func (s *Runner) Changed(ctx context.Context, name function.Name) {
	if err := s.Platform.Sync(ctx, name); err != nil && !errors.Is(err, node.ErrDraining) && ctx.Err() == nil {
		s.Log.Error("serve what another node changed", "function", name, "error", err)
	}
	s.nowSettled()
	if fn, ok := s.Store.Function(name); ok {
		s.Prepare(fn)
	}
}

// nowSettled wakes those that wait for a function.
func (s *Runner) nowSettled() {
	s.settledMu.Lock()
	defer s.settledMu.Unlock()
	close(s.settled)
	s.settled = make(chan struct{})
}

// Adopt goes on with what a node that died had begun, each time that nodes came or went, until ctx ends.
func (s *Runner) Adopt(ctx context.Context) {
	changed := make(chan struct{}, 1)
	s.Opt.Cluster.OnChange(func() {
		select {
		case changed <- struct{}{}:
		default:
		}
	})
	for {
		select {
		case <-ctx.Done():
			return
		case <-changed:
		}
		for _, fn := range s.Store.Functions() {
			s.Prepare(fn)
		}
	}
}

// Prepare makes the versions of a function that are not ready yet so, in the background. On several nodes the one that owns the
// function's pipelines does it, once.
func (s *Runner) Prepare(fn *store.Function) {
	if !s.Opt.Cluster.Owns(string(fn.Name)) {
		return
	}
	for _, v := range append([]store.Version{fn.Latest}, fn.Published...) {
		if v.State.Value == gate.Pending.Value || v.LastUpdate == gate.InProgress {
			if _, busy := s.preparing.LoadOrStore(v.Revision, true); busy {
				continue
			}
			s.Updates.Go(func() {
				defer s.preparing.Delete(v.Revision)
				s.prepareRevision(fn.Name, v.Revision)
			})
		}
	}
}

func (s *Runner) prepareRevision(name function.Name, id function.RevisionID) {
	rev, ok := s.Store.Revision(id)
	if !ok {
		return
	}
	var failure error
	if s.Opt.Prepare != nil {
		failure = s.Opt.Prepare(s.Life, rev)
	}
	unprepared := ""
	if failure == nil {
		unprepared = s.Platform.Prepare(s.Life, id)
	}
	if s.Life.Err() != nil {
		return // the server stops; the next one does it again
	}
	_, err := s.Store.UpdateFunction(s.Life, name, func(fn *store.Function) error {
		settle(fn, id, failure, unprepared)
		return nil
	})
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		s.Log.Error("record that a revision is ready", "function", name, "revision", id, "error", err)
	}
	s.Sync(name)
	s.nowSettled()
}

// unpreparedCode is the StateReasonCode of a function that serves although its preparation failed; of
// AWS's codes the one for functions that fail while SnapStart brings them up.
const unpreparedCode = "FunctionError"

// settle puts the end of a preparation into the versions that wait for it: failure keeps them from
// serving, unprepared (why nothing was prepared, empty if it was) does not.
func settle(fn *store.Function, id function.RevisionID, failure error, unprepared string) {
	serves, updated := gate.Active, gate.Successful
	if unprepared != "" {
		reason := "Something failed while it was prepared for its first invocation, but it serves nevertheless: " + strings.TrimSuffix(unprepared, ".") + "."
		serves.Reason, serves.Code = reason, unpreparedCode
		updated.Reason, updated.Code = reason, unpreparedCode
	}
	settleVersion := func(v *store.Version) {
		if v.Revision != id || v.State.Value != gate.Pending.Value && v.LastUpdate != gate.InProgress {
			return
		}
		switch {
		case failure == nil:
			if v.Serving != "" && v.Version == function.Latest {
				fn.Supersede(v.Serving)
			}
			if v.LastUpdate == gate.InProgress {
				v.LastUpdate = updated
			}
			v.State, v.Serving = serves, ""
		case v.State.Value == gate.Pending.Value:
			v.State = store.Status{Value: "Failed", Reason: failure.Error(), Code: "InvalidConfiguration"}
			v.LastUpdate = store.Status{Value: "Failed", Reason: failure.Error(), Code: "InvalidConfiguration"}
		default: // what served before goes on
			v.LastUpdate = store.Status{Value: "Failed", Reason: failure.Error(), Code: "InvalidConfiguration"}
		}
		v.ETag = gate.NewUUID()
	}
	settleVersion(&fn.Latest)
	for i := range fn.Published {
		settleVersion(&fn.Published[i])
	}
}

// How long an invocation waits for a function that is being created, and for one that is prepared at
// deploy: a worker starts, runs its initialization, and an artifact is made.
const (
	settleTime  = 10 * time.Second
	prepareTime = time.Minute
)

func (s *Runner) settleTime(fn *store.Function) time.Duration {
	if p, err := s.Store.PolicyOf(fn, s.Opt.Policy); err == nil && p.Prepare != nil && *p.Prepare == policy.PrepareDeploy {
		return prepareTime
	}
	return settleTime
}

// AwaitActive waits until a version may be invoked. Lambda answers at once with a conflict; here,
// where it takes milliseconds or a preparation is under way, a client that creates and invokes need not poll.
func (s *Runner) AwaitActive(ctx context.Context, f gate.Ref, v *store.Version) error {
	fn, _, err := s.Version(gate.Ref{Name: f.Name, Qualifier: v.Version})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, s.settleTime(fn))
	defer cancel()
	for {
		s.settledMu.Lock()
		settled := s.settled
		s.settledMu.Unlock()
		_, now, err := s.Version(gate.Ref{Name: f.Name, Qualifier: v.Version})
		if err != nil {
			return err
		}
		switch {
		case now.State.Value == gate.Active.Value:
			return nil
		case now.State.Value != gate.Pending.Value:
			return gate.Conflict("The operation cannot be performed at this time. The function is currently in the following state: %s (%s)", now.State.Value, now.State.Reason)
		}
		select {
		case <-settled:
		case <-ctx.Done():
			return gate.Conflict("The operation cannot be performed at this time. The function is currently in the following state: Pending")
		}
	}
}
