package cli

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/cloudjit/cloudjit/internal/client"
	"github.com/cloudjit/cloudjit/internal/ladder"
	"github.com/cloudjit/cloudjit/internal/store"
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
		fmt.Fprintln(t, "NAME\tKIND\tRUNG\tPIPELINE\tWORKERS\tINVOCATIONS\tCOLD STARTS\tDEOPTS")
		for _, f := range functions {
			p := f.Pipeline
			if p == nil {
				fmt.Fprintf(t, "%s\t%s\t-\t%s\t-\t-\t-\t-\n", f.Name, f.Kind, f.State.Value)
				continue
			}
			fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%d\t%d\t%d\t%d\n", f.Name, f.Kind, p.Rung, inProgress(p), p.Workers, p.Invocations, p.ColdStarts, p.Deoptimizations)
		}
		return t.Flush()
	})
}

// inProgress is what is being made and recorded besides what serves.
func inProgress(p *client.Pipeline) string {
	if _, rest, ok := strings.Cut(p.State(), ", "); ok {
		return rest
	}
	return "-"
}

type describeCommand struct {
	Function string `arg:"" help:"Name of the function."`
}

func (cmd *describeCommand) Run(c *Context) error {
	var f client.Function
	if err := c.Client.Call(c, http.MethodGet, client.OwnFunction(cmd.Function), nil, &f); err != nil {
		return err
	}
	r, err := c.Client.Latest(c, cmd.Function)
	if err != nil {
		return err
	}
	return c.Print(map[string]any{"function": f, "revision": r}, func(w io.Writer) error { return describe(w, c.Client.Endpoint(), &f, r) })
}

func describe(w io.Writer, endpoint string, f *client.Function, r *client.Revision) error {
	t := table(w)
	row := func(name, format string, args ...any) { fmt.Fprintf(t, name+"\t"+format+"\n", args...) }
	rows := func(name string, lines []string) {
		for i, line := range lines {
			if i > 0 {
				name = ""
			}
			row(name, "%s", line)
		}
	}
	row("Function", "%s", f.Name)
	row("ARN", "%s", f.ARN)
	row("Kind", "%s, %s, %s", f.Kind, f.Runtime, f.Handler)
	row("State", "%s", strings.TrimSpace(f.State.Value+" "+f.State.Reason))
	row("Limits", "%d MiB, %s", f.MemoryMiB, time.Duration(f.Timeout))
	if r.Driver != "" {
		row("Driver", "%s", r.Driver)
	}
	for _, u := range f.URLs {
		row("URL", "%s", u.URL)
		row("", "%s (the same, without a name below localhost)", endpoint+u.Path)
	}
	if p := f.Policy; p.Threshold != nil && p.Window != nil && p.KeepAlive != nil && p.Optimize != nil && p.OnMissing != nil {
		what := fmt.Sprintf("more than %d cold starts in %s", *p.Threshold, time.Duration(*p.Window))
		if !*p.Optimize {
			what = "never optimized"
		}
		if p.Prepare != nil {
			what += fmt.Sprintf("; prepared: %s", *p.Prepare)
		}
		if p.Compare != nil && !*p.Compare {
			what += "; answers are not compared"
		}
		row("Policy", "%s; workers are kept %s at most; on missing metadata: %s", what, time.Duration(*p.KeepAlive), *p.OnMissing)
	}
	if s := f.Samples; s != nil {
		row("Samples", "%d of its user's own, %d bytes", s.Count, s.Bytes)
	}
	row("Revision", "%s, %s", r.ID, r.CreatedAt.Local().Format(time.DateTime))
	if p := r.Pipeline; p != nil {
		reason := ""
		if p.Reason != "" {
			reason = " (" + p.Reason + ")"
		}
		recording := ""
		if p.Recording != ladder.RecordingNone {
			recording = ", which record " + p.Recording.String()
		}
		row("Rung", "%s for new workers%s%s", p.Rung, recording, reason)
		row("Counts", "%d invocations, %d cold starts (%d in the window), %d deoptimizations, %d workers", p.Invocations, p.ColdStarts, p.ColdInWindow, p.Deoptimizations, p.Workers)
		row("CPU", "%s of workers' time%s", time.Duration(p.CPUSeconds*float64(time.Second)).Round(time.Millisecond), dropped(p.OutputDropped))
		rows("Ladder", rungs(p))
		var recordings []string
		for _, x := range p.Recordings {
			text := fmt.Sprintf("%s: %s", x.Recording, x.Phase)
			if x.Version > 0 {
				text += fmt.Sprintf(", version %d", x.Version)
			}
			if x.Refused != "" {
				text += ", nothing more is taken: " + x.Refused
			}
			recordings = append(recordings, text)
		}
		rows("Recordings", recordings)
		rows("Checks", checks(p))
	}
	var history, builds []string
	for _, h := range r.History {
		history = append(history, fmt.Sprintf("%s  %s  %s", h.At.Local().Format("15:04:05.000"), step(&h), h.Reason))
	}
	for _, b := range r.Builds {
		builds = append(builds, fmt.Sprintf("%s  %s, %s: %s wall, %s CPU, %d MB memory, %.1f MB on disk %s", b.ID, b.Rung, b.State,
			b.Cost.Wall.Round(100*time.Millisecond), b.Cost.CPU.Round(100*time.Millisecond), b.Cost.PeakRSS/1e6, float64(b.Cost.Size)/1e6, b.Reason))
	}
	rows("History", history)
	rows("Builds", builds)
	if n := len(r.Metadata); n > 0 {
		m := r.Metadata[n-1]
		row("Metadata", "version %d of %s, %d bytes", m.Number, m.At.Local().Format("15:04:05"), m.Size)
	}
	return t.Flush()
}

// step is what moved in a step of the history, and how.
func step(h *store.Transition) string {
	what := string(h.Rung)
	if what == "" && h.Recording != "" {
		what = "recording " + h.Recording
	}
	move := h.To
	if h.From != h.To {
		move = h.From + " -> " + h.To
	}
	if what == "" { // of an earlier version
		return move
	}
	return what + ": " + move
}

// rungs is the ladder as a table, the rung of new workers marked.
func rungs(p *client.Pipeline) []string {
	var b strings.Builder
	t := table(&b)
	fmt.Fprintln(t, "  RUNG\tPHASE\tSTART\tMEMORY\tDISK\tSINCE\tWHY")
	figure := func(format string, v float64) string {
		if v == 0 {
			return "-"
		}
		return fmt.Sprintf(format, v)
	}
	for i := range p.Ladder {
		r := &p.Ladder[i]
		mark, phase, since := " ", r.Phase.String(), "-"
		if r.Rung == p.Rung {
			mark = "*"
		}
		if r.Wanted {
			phase += ", wanted"
		}
		if r.Never {
			phase += ", never again"
		}
		if r.NotBefore != nil {
			phase += ", not before " + r.NotBefore.Local().Format(time.TimeOnly)
		}
		if r.Falls > 0 {
			phase += fmt.Sprintf(", fell %d times", r.Falls)
		}
		if r.Since != nil {
			since = r.Since.Local().Format(time.TimeOnly)
		}
		fmt.Fprintf(t, "%s %s\t%s\t%s\t%s\t%s\t%s\t%s\n", mark, r.Rung, phase,
			figure("%.0f ms", r.StartMs), figure("%.0f MB", r.MemoryMB), figure("%.1f MB", r.DiskMB), since, r.Reason)
	}
	_ = t.Flush() // into memory
	lines := strings.Split(strings.TrimRight(b.String(), "\n"), "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " ")
	}
	return lines
}

// checks say what was compared of each rung, and where it differed.
func checks(p *client.Pipeline) []string {
	var lines []string
	for i := range p.Ladder {
		c := p.Ladder[i].Check
		if c == nil {
			continue
		}
		lines = append(lines, fmt.Sprintf("%s  %s, %s: %s", c.At.Local().Format(time.TimeOnly), c.Rung, c.Result, c.Reason))
		if d := c.Difference; d != nil {
			lines = append(lines, fmt.Sprintf("  payload %s", d.Digest), fmt.Sprintf("  %s is %s on the first rung, %s on %s", d.Path, d.First, d.Artifact, c.Rung))
		}
		if len(c.Varying) > 0 {
			lines = append(lines, "  differs from run to run, so not compared: "+strings.Join(c.Varying, ", "))
		}
	}
	return lines
}

func table(w io.Writer) *tabwriter.Writer { return tabwriter.NewWriter(w, 0, 8, 2, ' ', 0) }

// dropped says how much output of a function was dropped, empty if none was.
func dropped(bytes int64) string {
	if bytes == 0 {
		return ""
	}
	return fmt.Sprintf("; %.1f MB of output dropped, because it came too fast", float64(bytes)/1e6)
}
