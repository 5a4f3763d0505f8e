package metadata

import (
	"fmt"
	"strings"
	"time"
)

// Tracer is what records metadata in a JVM.
type Tracer struct {
	// Jar is the path of CloudJIT's own agent; empty: the agent of the GraalVM distribution
	// that runs the function.
	Jar string
}

// TraceFile is the name of the file that a tracer writes into its folder.
const TraceFile = "reachability-metadata.json"

// JVMOption returns the option that makes a JVM trace into the folder out, which must exist
// and be writable, about every period (0: one second). known, if not empty, is a file of
// metadata known before, which then is part of what is written; the distribution's agent cannot
// do that, so merge its result with what is known (which is right for both).
func (t Tracer) JVMOption(out, known string, period time.Duration) (string, error) {
	for _, path := range []string{out, known, t.Jar} {
		if strings.ContainsAny(path, ",=\n") {
			return "", fmt.Errorf("trace into %q: a path of the tracer must not have ',', '=' or a line break", path)
		}
	}
	if out == "" {
		return "", fmt.Errorf("trace: no folder to write to")
	}
	if period <= 0 {
		period = time.Second
	}
	if t.Jar == "" {
		seconds := max(1, int(period.Round(time.Second)/time.Second))
		return fmt.Sprintf("-agentlib:native-image-agent=config-output-dir=%s,config-write-initial-delay-secs=0,config-write-period-secs=%d", out, seconds), nil
	}
	option := fmt.Sprintf("-javaagent:%s=out=%s,interval=%d", t.Jar, out, max(50, period.Milliseconds()))
	if known != "" {
		option += ",merge=" + known
	}
	return option, nil
}
