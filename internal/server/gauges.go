package server

import (
	"github.com/cloudjit/cloudjit/internal/health"
	"github.com/cloudjit/cloudjit/internal/node"
	"github.com/cloudjit/cloudjit/internal/spool"
	"github.com/cloudjit/cloudjit/internal/store"
	"github.com/cloudjit/cloudjit/internal/telemetry"
)

// gauges are the values that are asked for when metrics are read.
func gauges(n *node.Node, s *store.Store) []telemetry.Gauge {
	snapshot := func(read func(node.Snapshot) float64) func(func(float64, ...string)) {
		return func(put func(float64, ...string)) { put(read(n.Snapshot())) }
	}
	return []telemetry.Gauge{
		{Name: "cloudjit_workers", Help: "Workers, by rung and state.", Labels: []string{"rung", "state"},
			Read: func(put func(float64, ...string)) {
				for rung, states := range n.Snapshot().WorkersBy {
					for state, count := range states {
						put(float64(count), string(rung), state)
					}
				}
			}},
		{Name: "cloudjit_revisions", Help: "Revisions, by the rung of new workers.", Labels: []string{"rung"},
			Read: func(put func(float64, ...string)) {
				for rung, count := range n.Snapshot().RevisionsBy {
					put(float64(count), string(rung))
				}
			}},
		{Name: "cloudjit_invocations_in_flight", Help: "Invocations that wait or run.",
			Read: snapshot(func(v node.Snapshot) float64 { return float64(v.Waiting + v.Running) })},
		{Name: "cloudjit_invocations_waiting", Help: "Invocations that wait for a worker.",
			Read: snapshot(func(v node.Snapshot) float64 { return float64(v.Waiting) })},
		{Name: "cloudjit_memory_reserved_bytes", Help: "Memory that workers have reserved.",
			Read: snapshot(func(v node.Snapshot) float64 { return float64(v.ReservedMiB) * (1 << 20) })},
		{Name: "cloudjit_artifacts_bytes", Help: "Disk that the caches and binaries in use take.",
			Read: snapshot(func(v node.Snapshot) float64 { return v.ArtifactMB * 1e6 })},
		{Name: "cloudjit_builds_running", Help: "Builds that run.",
			Read: snapshot(func(v node.Snapshot) float64 { return float64(v.BuildsRunning) })},
		{Name: "cloudjit_builds_queued", Help: "Builds that wait for a builder.",
			Read: snapshot(func(v node.Snapshot) float64 { return float64(v.BuildsQueued) })},
		{Name: "cloudjit_async_queue_length", Help: "Asynchronous invocations that are accepted and not finished.",
			Read: func(put func(float64, ...string)) { put(float64(s.QueueLength())) }},
	}
}

// diskGauges are what is stored, and bodies under way.
func diskGauges(d *diskUse, bodies *spool.Pool) []telemetry.Gauge {
	by := func(read func(health.Disk) int64) func(func(float64, ...string)) {
		return func(put func(float64, ...string)) {
			for _, k := range d.kinds() {
				put(float64(read(k)), k.Kind)
			}
		}
	}
	return []telemetry.Gauge{
		{Name: "cloudjit_disk_bytes", Help: "What is stored, by kind.", Labels: []string{"kind"}, Read: by(func(k health.Disk) int64 { return k.Bytes })},
		{Name: "cloudjit_disk_limit_bytes", Help: "What may be stored, by kind; 0: not bounded by itself.", Labels: []string{"kind"}, Read: by(func(k health.Disk) int64 { return k.Limit })},
		{Name: "cloudjit_body_memory_bytes", Help: "Memory that bodies of requests and answers under way take.",
			Read: func(put func(float64, ...string)) { put(float64(bodies.Usage().Memory)) }},
	}
}
