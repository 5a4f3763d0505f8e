package cli

import (
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/cloudjit/cloudjit/internal/experiment"
	"github.com/cloudjit/cloudjit/internal/trace"
)

// traceSource is the flags that name a trace, or a generated one, and a part of it.
type traceSource struct {
	Trace          []string        `arg:"" optional:"" help:"Files, folders or archives of a trace (to simulate, the event log of a live engine too); none with --generate." type:"path"`
	Generate       bool            `help:"Use a generated trace: see --functions, --minutes, --start."`
	WholeAppMemory bool            `help:"Give each function the memory of its whole app, instead of an even share."`
	Placement      trace.Placement `help:"Where counted invocations go inside their minute: uniform, even, poisson or burst (all at once)." default:"uniform"`
	Average        bool            `help:"Give each invocation its function's average duration, instead of a draw from its percentiles."`
	Seed           uint64          `help:"Seed of everything random." default:"1"`
	From           time.Duration   `help:"Begin at this time of the trace." placeholder:"DURATION"`
	To             time.Duration   `help:"End at this time of the trace." placeholder:"DURATION"`
	generateFlags
}

// open returns the trace, what was wrong in it, and what it is; command is who wants it.
func (s *traceSource) open(c *Context, command string) (trace.Trace, []trace.Problem, experiment.Source, error) {
	src := experiment.Source{Command: commandLine()}
	if s.Generate == (len(s.Trace) > 0) {
		return nil, nil, src, &usageError{command + ": name the files of a trace, or --generate, and not both"}
	}
	if s.Generate {
		t, err := s.trace(s.Seed)
		src.Name, src.Kind = fmt.Sprintf("generated cluster, seed %d", s.Seed), "generated from the published statistics of the Azure 2019 set"
		if err != nil {
			return nil, nil, src, err
		}
		t, err = s.cut(t, &src)
		return t, nil, src, err
	}
	in := traceInput{Trace: s.Trace, WholeAppMemory: s.WholeAppMemory}
	t, problems, err := in.open(c)
	if err != nil {
		return nil, nil, src, err
	}
	names := make([]string, len(s.Trace))
	for i, p := range s.Trace {
		names[i] = filepath.Base(p)
	}
	src.Name, src.Kind = strings.Join(names, ", "), "recorded invocations"
	if _, ok := t.(*trace.Counted); ok {
		src.Kind = "counts per minute"
	}
	t, err = s.cut(t, &src)
	return t, problems.List(), src, err
}

// cut takes the part that was asked for; on an error the trace is closed.
func (s *traceSource) cut(t trace.Trace, src *experiment.Source) (trace.Trace, error) {
	if s.From == 0 && s.To == 0 {
		return t, nil
	}
	part, err := trace.Slice(t, s.From, s.To)
	if err != nil {
		t.Close()
		return nil, err
	}
	src.Name += fmt.Sprintf(" from %v to %v", s.From, s.From+part.Length())
	return part, nil
}

// options say how counts become invocations.
func (s *traceSource) options() trace.Options {
	return trace.Options{Seed: s.Seed, Placement: s.Placement, AverageDurations: s.Average}
}
