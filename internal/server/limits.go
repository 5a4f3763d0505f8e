package server

import (
	"runtime"

	"github.com/cloudjit/cloudjit/internal/aot"
	"github.com/cloudjit/cloudjit/internal/config"
	"github.com/cloudjit/cloudjit/internal/engine"
	"github.com/cloudjit/cloudjit/internal/store"
)

// budget divides the machine's memory, in MiB, between workers and builds.
type budget struct{ workers, build int }

// memoryBudget leaves an eighth of the machine to everything else. A build gets half of the
// rest, 8 GiB at most (paper, Table 1: 6.4 to 8.2 GB), and workers what remains, so that
// the two together never over-commit.
func memoryBudget(c config.Config) budget {
	usable := totalMemoryMiB() * 7 / 8
	b := budget{workers: c.Workers.MemoryMiB, build: c.Builder.MemoryMiB}
	if b.build == 0 {
		b.build = min(8<<10, usable/2)
	}
	if b.workers == 0 {
		b.workers = max(usable-b.build*c.Builder.Parallel, usable/4)
	}
	return b
}

func nodeLimits(c config.Config, m budget) engine.NodeConfig {
	return engine.NodeConfig{
		MemoryMiB: int64(m.workers), Starts: int32(c.Workers.Starts), Concurrency: int32(c.Workers.Concurrency),
		QueueLimit: int32(c.Workers.Queue), Builders: int32(c.Builder.Parallel), LightBuilders: int32(c.Builder.Light),
		ArtifactMB: int64(c.Artifacts.DiskMB), TraceLimit: int32(c.Policy.TraceInvocations), Cores: int32(runtime.NumCPU()),
	}
}

func queueLimits(c config.Config) store.QueueLimits {
	return store.QueueLimits{
		Events: c.Async.Queue, Bytes: int64(c.Async.QueueMB) * 1e6, AllEvents: c.Async.QueueAll, AllBytes: int64(c.Async.QueueAllMB) * 1e6,
		Slots: c.Async.Parallel,
	}
}

func buildLimits(c config.Config, m budget) aot.Limits {
	return aot.Limits{MemoryMiB: m.build, CPUs: c.Builder.CPUs, Time: c.Builder.Time}
}

// NodeLimits are what a server with this configuration tells its engine.
func NodeLimits(c config.Config) engine.NodeConfig { return nodeLimits(c, memoryBudget(c)) }
