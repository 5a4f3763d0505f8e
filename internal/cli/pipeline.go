package cli

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/cloudjit/cloudjit/internal/client"

	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/store"
)

type optimizeCommand struct {
	Function string `arg:"" help:"Name of the function."`
	Level    string `enum:"quick,optimized" default:"quick" help:"quick builds faster, optimized runs faster."`
	Wait     bool   `help:"Wait until it is native, or the build failed."`
}

func (cmd *optimizeCommand) Run(c *Context) error {
	var level function.Level
	if err := level.UnmarshalText([]byte(cmd.Level)); err != nil {
		return err
	}
	var before client.Revision // whose failures are no answer to this request
	if cmd.Wait {
		if err := latest(c, c.Client, cmd.Function, &before); err != nil {
			return err
		}
	}
	err := c.Client.Call(c, http.MethodPost, client.OwnFunction(cmd.Function)+"/optimize", map[string]string{"level": cmd.Level}, nil)
	if err != nil {
		return err
	}
	c.Say("%s will be built as soon as there is metadata and a builder is free", cmd.Function)
	if !cmd.Wait {
		return nil
	}
	known := map[string]bool{}
	for _, b := range before.Builds {
		known[b.ID] = true
	}
	return waitNative(c, c.Client, cmd.Function, level, known, c.Stderr)
}

func latest(ctx context.Context, c *client.Client, name string, to *client.Revision) error {
	return c.Call(ctx, http.MethodGet, client.OwnFunction(name)+"/revisions/latest", nil, to)
}

// waitNative shows the moves of a function's pipeline until it is native with a binary of at least
// a level. A failed build, but for those that are known, is an error.
func waitNative(ctx context.Context, c *client.Client, name string, level function.Level, known map[string]bool, progress io.Writer) error {
	begin, shown := time.Now(), ""
	for {
		var r client.Revision
		if err := latest(ctx, c, name, &r); err != nil {
			return err
		}
		if p := r.Pipeline; p != nil {
			state := p.State()
			if n := len(r.Builds); n > 0 && r.Builds[n-1].State == "running" && r.Builds[n-1].Phase != "" {
				state += " (" + r.Builds[n-1].Phase + ")"
			}
			if state != shown {
				fmt.Fprintf(progress, "%6.1f s  %s: %s\n", time.Since(begin).Seconds(), name, state)
				shown = state
			}
			if p.Tier == function.TierNative && p.Level >= level {
				return nil
			}
		}
		if n := len(r.Builds); n > 0 && r.Builds[n-1].State == "failed" && !known[r.Builds[n-1].ID] {
			b := r.Builds[n-1]
			return fmt.Errorf("build of %s failed (%s): %s\n%s\nIts log: cloudjit describe %s", name, b.Class, b.Reason, b.Hint, name)
		}
		select {
		case <-time.After(500 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

type deoptimizeCommand struct {
	Function string `arg:"" help:"Name of the function."`
}

func (cmd *deoptimizeCommand) Run(c *Context) error {
	if err := c.Client.Call(c, http.MethodPost, client.OwnFunction(cmd.Function)+"/deoptimize", struct{}{}, nil); err != nil {
		return err
	}
	c.Say("%s is back at the tracing stage; its metadata is kept", cmd.Function)
	return nil
}

type policyCommand struct {
	Function  string         `arg:"" optional:"" help:"Name of the function; without one, the platform's policy."`
	Optimize  *bool          `negatable:"" help:"Optimize at all."`
	Threshold *int           `help:"Optimize after more cold starts than this in the window." placeholder:"N"`
	Window    *time.Duration `help:"Length of the sliding window." placeholder:"TIME"`
	KeepAlive *time.Duration `help:"How long idle workers are kept; 0s stops them at once." placeholder:"TIME"`
	OnMissing string         `enum:",reexecute,error" default:"" help:"What happens to an invocation that meets missing metadata: reexecute or error." placeholder:"MODE"`
	Reset     bool           `help:"Forget what was set for the function."`
}

func (cmd *policyCommand) Run(c *Context) error {
	path := client.Own + "/policy"
	if cmd.Function != "" {
		path = client.OwnFunction(cmd.Function) + "/policy"
	}
	if cmd.Reset {
		if cmd.Function == "" {
			return &usageError{"--reset needs a function"}
		}
		if err := c.Client.Call(c, http.MethodDelete, path, nil, nil); err != nil {
			return err
		}
	}
	set := store.Policy{Optimize: cmd.Optimize, Threshold: cmd.Threshold, Window: (*store.Duration)(cmd.Window), KeepAlive: (*store.Duration)(cmd.KeepAlive)}
	if cmd.OnMissing != "" {
		set.OnMissing = new(function.DeoptMode)
		if err := set.OnMissing.UnmarshalText([]byte(cmd.OnMissing)); err != nil {
			return &usageError{err.Error()}
		}
	}
	if set != (store.Policy{}) {
		var has struct {
			Set *store.Policy `json:"set"`
		}
		if err := c.Client.Call(c, http.MethodGet, path, nil, &has); err != nil {
			return err
		}
		if has.Set != nil {
			set = set.Over(*has.Set)
		}
		if err := c.Client.Call(c, http.MethodPut, path, set, nil); err != nil {
			return err
		}
	}
	var doc policyDocument
	if err := c.Client.Call(c, http.MethodGet, path, nil, &doc); err != nil {
		return err
	}
	return c.Print(doc, func(w io.Writer) error { return showPolicy(w, cmd.Function, &doc) })
}

// policyDocument is what holds, and what of it was set for the function (or, without one, by hand
// for the platform).
type policyDocument struct {
	Effective store.Policy `json:"effective"`
	Set       store.Policy `json:"set"`
}

func showPolicy(w io.Writer, name string, doc *policyDocument) error {
	here := "platform"
	if name != "" {
		here = name
	}
	e, set := doc.Effective, doc.Set
	t := table(w)
	fmt.Fprintln(t, "POLICY\tVALUE\tSET FOR")
	row := func(what string, value any, own bool) {
		from := "default"
		if own {
			from = here
		}
		fmt.Fprintf(t, "%s\t%v\t%s\n", what, value, from)
	}
	if e.Optimize != nil {
		row("optimize", *e.Optimize, set.Optimize != nil)
	}
	if e.Threshold != nil {
		row("threshold", *e.Threshold, set.Threshold != nil)
	}
	if e.Window != nil {
		row("window", time.Duration(*e.Window), set.Window != nil)
	}
	if e.KeepAlive != nil {
		row("keep-alive", time.Duration(*e.KeepAlive), set.KeepAlive != nil)
	}
	if e.OnMissing != nil {
		row("on-missing", *e.OnMissing, set.OnMissing != nil)
	}
	return t.Flush()
}
