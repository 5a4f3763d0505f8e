package cli

import (
	"fmt"
	"io"
	"net/http"
	"text/tabwriter"
	"time"

	"github.com/cloudjit/cloudjit/internal/client"
)

type listCommand struct{}

func (listCommand) Run(c *Context) error {
	functions, err := c.Client.Overview(c)
	if err != nil {
		return err
	}
	if len(functions) == 0 {
		c.Say("no functions yet: create one with \"cloudjit deploy NAME ARCHIVE\"")
	}
	return c.Print(functions, func(w io.Writer) error {
		t := table(w)
		fmt.Fprintln(t, "NAME\tKIND\tTIER\tPIPELINE\tWORKERS\tINVOCATIONS\tCOLD STARTS\tDEOPTS")
		for _, f := range functions {
			p := f.Pipeline
			if p == nil {
				fmt.Fprintf(t, "%s\t%s\t-\t%s\t-\t-\t-\t-\n", f.Name, f.Kind, f.State.Value)
				continue
			}
			fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%d\t%d\t%d\t%d\n", f.Name, f.Kind, p.Tier, p.State(), p.Workers, p.Invocations, p.ColdStarts, p.Deoptimizations)
		}
		return t.Flush()
	})
}

type describeCommand struct {
	Function string `arg:"" help:"Name of the function."`
}

func (cmd *describeCommand) Run(c *Context) error {
	var f client.Function
	if err := c.Client.Call(c, http.MethodGet, client.OwnFunction(cmd.Function), nil, &f); err != nil {
		return err
	}
	var r client.Revision
	if err := c.Client.Call(c, http.MethodGet, client.OwnFunction(cmd.Function)+"/revisions/latest", nil, &r); err != nil {
		return err
	}
	return c.Print(map[string]any{"function": f, "revision": r}, func(w io.Writer) error { return describe(w, &f, &r) })
}

func describe(w io.Writer, f *client.Function, r *client.Revision) error {
	t := table(w)
	row := func(name, format string, args ...any) { fmt.Fprintf(t, name+"\t"+format+"\n", args...) }
	row("Function", "%s", f.Name)
	row("ARN", "%s", f.ARN)
	row("Kind", "%s, %s, %s", f.Kind, f.Runtime, f.Handler)
	row("State", "%s %s", f.State.Value, f.State.Reason)
	row("Limits", "%d MiB, %s", f.MemoryMiB, time.Duration(f.Timeout))
	for _, u := range f.URLs {
		row("URL", "%s", u.URL)
	}
	if p := f.Policy; p.Threshold != nil && p.Window != nil && p.KeepAlive != nil && p.Optimize != nil && p.OnMissing != nil {
		what := fmt.Sprintf("more than %d cold starts in %s", *p.Threshold, time.Duration(*p.Window))
		if !*p.Optimize {
			what = "never optimized"
		}
		row("Policy", "%s; workers are kept %s; on missing metadata: %s", what, time.Duration(*p.KeepAlive), *p.OnMissing)
	}
	row("Revision", "%s, %s", r.ID, r.CreatedAt.Local().Format(time.DateTime))
	if p := r.Pipeline; p != nil {
		reason := ""
		if p.Reason != "" {
			reason = " (" + p.Reason + ")"
		}
		row("Tier", "%s for new workers; pipeline: %s%s", p.Tier, p.State(), reason)
		row("Counts", "%d invocations, %d cold starts (%d in the window), %d deoptimizations, %d workers", p.Invocations, p.ColdStarts, p.ColdInWindow, p.Deoptimizations, p.Workers)
		if p.NotBefore != nil {
			row("Waits", "not built again before %s", p.NotBefore.Local().Format(time.DateTime))
		}
	}
	for i, h := range r.History {
		name := ""
		if i == 0 {
			name = "Pipeline"
		}
		row(name, "%s  %s -> %s  %s", h.At.Local().Format("15:04:05.000"), h.From, h.To, h.Reason)
	}
	for i, b := range r.Builds {
		name := ""
		if i == 0 {
			name = "Builds"
		}
		row(name, "%s  %s, %s: %s wall, %s CPU, %d MB memory, %.1f MB binary %s", b.ID, b.Level, b.State,
			b.Cost.Wall.Round(time.Second), b.Cost.CPU.Round(time.Second), b.Cost.PeakRSS/1e6, float64(b.Cost.Size)/1e6, b.Reason)
	}
	if n := len(r.Metadata); n > 0 {
		m := r.Metadata[n-1]
		row("Metadata", "version %d of %s, %d bytes", m.Number, m.At.Local().Format("15:04:05"), m.Size)
	}
	return t.Flush()
}

func table(w io.Writer) *tabwriter.Writer { return tabwriter.NewWriter(w, 0, 8, 2, ' ', 0) }
