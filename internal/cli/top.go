package cli

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/cloudjit/cloudjit/internal/client"
	"github.com/cloudjit/cloudjit/internal/health"

	tea "charm.land/bubbletea/v2"
)

type topCommand struct {
	Interval time.Duration `default:"1s" help:"How often to refresh."`
	Once     bool          `help:"Print once and end. This is the default if stdout is not a terminal."`
}

// snapshot is what top shows.
type snapshot struct {
	At        time.Time         `json:"at"`
	Functions []client.Function `json:"functions"`
	Workers   []client.Worker   `json:"workers"`
	Disk      []health.Disk     `json:"disk"`
	// Nodes are those of a cluster; nil: there is one.
	Nodes *client.Nodes `json:"nodes,omitempty"`
}

func look(ctx context.Context, c *client.Client) (snapshot, error) {
	s := snapshot{At: time.Now()}
	var err error
	if s.Functions, err = c.Overview(ctx); err != nil {
		return s, err
	}
	if s.Workers, err = c.Workers(ctx); err != nil {
		return s, err
	}
	if s.Disk, err = c.Disk(ctx); err != nil {
		return s, err
	}
	if nodes, err := c.Nodes(ctx); err == nil && len(nodes.Replicas)+len(nodes.Nodes) > 1 { // who may not see nodes sees the rest
		s.Nodes = &nodes
	}
	return s, nil
}

func (cmd *topCommand) Run(c *Context) error {
	if cmd.Once || c.JSON || !isTerminal(c.Stdout) {
		s, err := look(c, c.Client)
		if err != nil {
			return err
		}
		return c.Print(s, func(w io.Writer) error {
			_, err := io.WriteString(w, s.render(nil))
			return err
		})
	}
	m := &topModel{ctx: c, server: c.Client, interval: cmd.Interval}
	if _, err := tea.NewProgram(m, tea.WithContext(c), tea.WithInput(c.Stdin), tea.WithOutput(c.Stdout)).Run(); err != nil && c.Err() == nil {
		return fmt.Errorf("top: %w", err)
	}
	return m.err
}

type topModel struct {
	ctx       context.Context // bubbletea's commands take no context
	server    *client.Client
	interval  time.Duration
	now, last *snapshot
	err       error
	height    int
}

type looked struct {
	s   snapshot
	err error
}

func (m *topModel) look() tea.Msg {
	s, err := look(m.ctx, m.server)
	return looked{s, err}
}

func (m *topModel) Init() tea.Cmd { return m.look }

func (m *topModel) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case tea.KeyPressMsg:
		switch msg.String() {
		case "q", "ctrl+c", "esc":
			return m, tea.Quit
		}
	case tea.WindowSizeMsg:
		m.height = msg.Height
	case looked:
		if msg.err != nil {
			m.err = msg.err
			return m, tea.Quit
		}
		m.last, m.now = m.now, &msg.s
		return m, tea.Tick(m.interval, func(time.Time) tea.Msg { return m.look() })
	}
	return m, nil
}

func (m *topModel) View() tea.View {
	text := "looking...\n"
	if m.now != nil {
		text = m.now.render(m.last)
	}
	if lines := strings.Split(text, "\n"); m.height > 2 && len(lines) > m.height-1 {
		text = strings.Join(lines[:m.height-1], "\n")
	}
	v := tea.NewView(text + "q: quit")
	v.AltScreen = true
	return v
}

// render draws a snapshot; rates are since last, if there is one.
func (s *snapshot) render(last *snapshot) string {
	var b strings.Builder
	before, cpu := map[string]int64{}, map[string]float64{}
	seconds := 0.0
	if last != nil {
		seconds = s.At.Sub(last.At).Seconds()
		for _, f := range last.Functions {
			if f.Pipeline != nil {
				before[string(f.Name)], cpu[string(f.Name)] = f.Pipeline.Invocations, f.Pipeline.CPUSeconds
			}
		}
	}
	memory := map[string]int64{}
	var total int64
	for _, w := range s.Workers {
		memory[string(w.Function)] += w.Memory.PSS
		total += w.Memory.PSS
	}
	fmt.Fprintf(&b, "%s  %d functions, %d workers, %d MiB\n", s.At.Format(time.TimeOnly), len(s.Functions), len(s.Workers), total>>20)
	b.WriteString("disk, MB:")
	for _, d := range s.Disk {
		fmt.Fprintf(&b, "  %s %d", d.Kind, d.Bytes/1e6)
		if d.Limit > 0 {
			fmt.Fprintf(&b, "/%d", d.Limit/1e6)
		}
	}
	b.WriteString("\n\n")
	if s.Nodes != nil {
		_ = writeNodes(&b, s.Nodes) // into memory
		b.WriteString("\n")
	}
	t := table(&b)
	fmt.Fprintln(t, "FUNCTION\tRUNG\tPIPELINE\tWORKERS\tMIB\tCPUS\tQUEUED\tPER S\tCOLD STARTS\tIN WINDOW\tDEOPTS")
	for _, f := range s.Functions {
		p := f.Pipeline
		if p == nil {
			continue
		}
		rate, cores := "-", "-"
		if old, ok := before[string(f.Name)]; ok && seconds > 0 {
			rate = fmt.Sprintf("%.1f", float64(p.Invocations-old)/seconds)
			cores = fmt.Sprintf("%.2f", max(p.CPUSeconds-cpu[string(f.Name)], 0)/seconds)
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%d\t%d\t%s\t%d\t%s\t%d\t%d\t%d\n", f.Name, p.Rung, inProgress(p), p.Workers,
			memory[string(f.Name)]>>20, cores, p.Queued, rate, p.ColdStarts, p.ColdInWindow, p.Deoptimizations)
	}
	_ = t.Flush() // into memory
	return b.String()
}
