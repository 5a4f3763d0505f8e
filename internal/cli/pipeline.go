package cli

import (
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/cloudjit/cloudjit/internal/client"
	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/policy"
	"github.com/cloudjit/cloudjit/internal/store"
)

type optimizeCommand struct {
	Function string `arg:"" help:"Name of the function."`
	Rung     string `help:"Rung to make; \"cloudjit describe\" shows the ladder. Without it the lowest with a binary, or the highest where nothing makes binaries." placeholder:"NAME"`
	Level    string `hidden:"" enum:",quick,optimized" default:"" help:"Earlier name of the two rungs with binaries."`
	Wait     bool   `help:"Wait until it is ready. If it does not become ready, fail with the reason."`
}

func (cmd *optimizeCommand) Run(c *Context) error {
	request := map[string]string{}
	switch {
	case cmd.Rung != "" && cmd.Level != "":
		return &usageError{"--level is an earlier name of --rung: give one of them"}
	case cmd.Rung != "":
		request["rung"] = cmd.Rung
	case cmd.Level != "":
		request["level"] = cmd.Level
	}
	w := wish{function: cmd.Function}
	if cmd.Wait { // what failed before is no answer to this request
		before, err := c.Client.Latest(c, cmd.Function)
		if err != nil {
			return err
		}
		w.before = *before
	}
	var answer struct {
		Revision function.RevisionID `json:"revision"`
		Rung     function.Rung       `json:"rung"`
		Ready    bool                `json:"ready"`
	}
	if err := c.Client.Call(c, http.MethodPost, client.OwnFunction(cmd.Function)+"/optimize", request, &answer); err != nil {
		return err
	}
	switch {
	case answer.Ready:
		c.Say("%s has %s already", cmd.Function, answer.Rung)
	default:
		c.Say("%s of %s is made as soon as it is recorded what it is made from, and a builder is free", answer.Rung, cmd.Function)
		if cmd.Wait {
			w.rung = answer.Rung
			if err := w.await(c, c.Client, c.Stderr); err != nil {
				return err
			}
			answer.Ready = true
		}
	}
	return c.Print(answer, func(io.Writer) error { return nil })
}

type deoptimizeCommand struct {
	Function string `arg:"" help:"Name of the function."`
}

func (cmd *deoptimizeCommand) Run(c *Context) error {
	if err := c.Client.Call(c, http.MethodPost, client.OwnFunction(cmd.Function)+"/deoptimize", struct{}{}, nil); err != nil {
		return err
	}
	c.Say("%s leaves its highest rung; what was recorded is kept, and recording goes on", cmd.Function)
	return nil
}

type policyCommand struct {
	Function  string         `arg:"" optional:"" help:"Name of the function. Without it: the platform's policy."`
	Optimize  *bool          `negatable:"" help:"Optimize at all."`
	Threshold *int           `help:"Optimize after more cold starts than this in the window." placeholder:"N"`
	Window    *time.Duration `help:"Length of the sliding window." placeholder:"TIME"`
	KeepAlive *time.Duration `help:"How long idle workers are kept at most. 0s stops them at once." placeholder:"TIME"`
	policyFlags
	OnMissing string `enum:",reexecute,error" default:"" help:"What happens to an invocation that meets missing metadata: reexecute or error." placeholder:"MODE"`
	Reset     bool   `help:"Remove the function's own settings."`
}

// policyFlags are what can be said of a function when it is deployed, and later.
type policyFlags struct {
	Prepare       string         `enum:",deploy,first-use,never" default:"" help:"When the function is prepared to start sooner: deploy (before its first invocation), first-use or never." placeholder:"WHEN"`
	Pause         *bool          `negatable:"" help:"Pause idle workers. Otherwise, applications go on working between requests."`
	Compare       *bool          `negatable:"" help:"Before an artifact serves, compare its answers with those of plain HotSpot."`
	SnapshotAfter *int           `help:"How many sampled invocations a worker answers before it is saved as a snapshot. 0: it is saved as soon as it is initialized." placeholder:"N"`
	MaxWait       *time.Duration `help:"Latency that a shorter keep-alive may add to an invocation; 0s: no bound." placeholder:"TIME"`
}

func (f *policyFlags) apply(p *store.Policy) error {
	p.MaxWait, p.Pause, p.Compare, p.SnapshotAfter = (*store.Duration)(f.MaxWait), f.Pause, f.Compare, f.SnapshotAfter
	if f.Prepare == "" {
		return nil
	}
	p.Prepare = new(policy.Prepare)
	return p.Prepare.UnmarshalText([]byte(f.Prepare))
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
	if err := cmd.policyFlags.apply(&set); err != nil {
		return &usageError{err.Error()}
	}
	if err := setPolicy(c, path, set); err != nil {
		return err
	}
	var doc policyDocument
	if err := c.Client.Call(c, http.MethodGet, path, nil, &doc); err != nil {
		return err
	}
	return c.Print(doc, func(w io.Writer) error { return showPolicy(w, cmd.Function, &doc) })
}

// setPolicy changes what set has, and leaves the rest of the policy at path as it is.
func setPolicy(c *Context, path string, set store.Policy) error {
	if set == (store.Policy{}) {
		return nil
	}
	var has struct {
		Set *store.Policy `json:"set"`
	}
	if err := c.Client.Call(c, http.MethodGet, path, nil, &has); err != nil {
		return err
	}
	if has.Set != nil {
		set = set.Over(*has.Set)
	}
	return c.Client.Call(c, http.MethodPut, path, set, nil)
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
	if e.Compare != nil {
		row("compare", *e.Compare, set.Compare != nil)
	}
	if e.Threshold != nil {
		row("threshold", *e.Threshold, set.Threshold != nil)
	}
	if e.Window != nil {
		row("window", time.Duration(*e.Window), set.Window != nil)
	}
	if e.Prepare != nil {
		row("prepare", *e.Prepare, set.Prepare != nil)
	}
	if e.MaxWait != nil {
		row("max-wait", time.Duration(*e.MaxWait), set.MaxWait != nil)
	}
	if e.SnapshotAfter != nil {
		row("snapshot-after", *e.SnapshotAfter, set.SnapshotAfter != nil)
	}
	if e.KeepAlive != nil {
		row("keep-alive", time.Duration(*e.KeepAlive), set.KeepAlive != nil)
	}
	if e.Pause != nil {
		row("pause", *e.Pause, set.Pause != nil)
	}
	if e.OnMissing != nil {
		row("on-missing", *e.OnMissing, set.OnMissing != nil)
	}
	return t.Flush()
}
