package server

import (
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"github.com/cloudjit/cloudjit/internal/artifact"
	"github.com/cloudjit/cloudjit/internal/health"
	"github.com/cloudjit/cloudjit/internal/store"
)

// diskUse says what the server has stored. Folders are counted at most every few seconds.
type diskUse struct {
	server *Server
	code   *artifact.Store

	mu      sync.Mutex
	counted time.Time
	folders map[string]int64
	near    map[string]time.Time // the budgets that are nearly full, and since when
}

const countFoldersEvery = 5 * time.Second

func (d *diskUse) folder(name string) int64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	if time.Since(d.counted) > countFoldersEvery {
		d.folders, d.counted = map[string]int64{}, time.Now()
	}
	n, ok := d.folders[name]
	if !ok {
		n = artifact.Size(filepath.Join(d.server.opt.Config.Data, name))
		d.folders[name] = n
	}
	return n
}

// kinds lists what is stored, by kind.
func (d *diskUse) kinds() []health.Disk {
	s, c := d.server, d.server.opt.Config
	logs, _ := s.logs.Usage()
	var audit int64
	for _, l := range s.audits {
		audit += l.Size()
	}
	return []health.Disk{
		{Kind: "code", Bytes: d.code.Usage(), Limit: int64(c.Disk.CodeMB) * 1e6},
		{Kind: "artifacts", Bytes: int64(s.node.Snapshot().ArtifactMB * 1e6), Limit: int64(c.Artifacts.DiskMB) * 1e6},
		{Kind: "logs", Bytes: logs, Limit: int64(c.Disk.LogsMB) * 1e6},
		{Kind: "queue", Bytes: d.folder("state") + d.folder("payloads")},
		{Kind: "recordings", Bytes: d.folder("run"), Limit: int64(c.Disk.RecordingsMB) * 1e6},
		{Kind: "bodies", Bytes: s.bodies.Usage().Disk, Limit: int64(c.Disk.BodiesMB) * 1e6},
		{Kind: "audit", Bytes: audit, Limit: int64(c.Audit.FileMB) * 1e6 * int64(c.Audit.Files*len(s.audits))},
	}
}

// nearlyFull is the part of a budget from which on health warns.
const nearlyFull = 0.9

// atLimit says what happens where a budget is full, by kind; others are not told of.
var atLimit = map[string]string{
	"code":       "Then uploads are refused (507); delete functions and versions that nobody needs, or raise disk.codeMB.",
	"artifacts":  "Then those that are worth least for their size are dropped; raise artifacts.diskMB where they are missed.",
	"logs":       "Then the older half of those that wrote least recently is dropped; raise disk.logsMB where it is missed.",
	"recordings": "Then no more are kept, and nothing is made of them; raise disk.recordingsMB.",
	"bodies":     "Then requests with large bodies are refused (429); raise disk.bodiesMB.",
}

// problems are those of the store, and the budgets that are nearly full.
func (d *diskUse) problems() []health.Problem {
	out := d.server.store.Problems()
	now, near := time.Now().UTC(), map[string]time.Time{}
	d.mu.Lock()
	before := d.near
	d.mu.Unlock()
	warn := func(component, key, message string) {
		near[key] = now
		if since, ok := before[key]; ok {
			near[key] = since
		}
		out = append(out, health.Problem{Component: component, Message: message, Since: near[key], Warning: true})
	}
	if st := d.server.store.Disk().State(); st.Low && !st.Full {
		warn("disk", "disk", fmt.Sprintf("The disk of %s is nearly full: %.1f MB are left beside what is kept back. When they are used up, what is new is refused.", d.server.store.Dir(), float64(st.Free)/1e6))
	}
	for _, k := range d.kinds() {
		if what, ok := atLimit[k.Kind]; ok && k.Limit > 0 && float64(k.Bytes) >= nearlyFull*float64(k.Limit) {
			warn(k.Kind, k.Kind, fmt.Sprintf("The budget of %s is nearly full: %.1f of %.1f MB. %s", k.Kind, float64(k.Bytes)/1e6, float64(k.Limit)/1e6, what))
		}
	}
	all, name, its := d.server.store.QueueRoom()
	queue := func(key, whose string, u store.QueueRoom, settings string) {
		if u.Part() >= nearlyFull {
			warn("queue", key, fmt.Sprintf("The queue of %s is nearly full: %d of %d events wait, with %.1f of %.1f MB. Then events are refused (429); raise %s.",
				whose, u.Events, u.MaxEvents, float64(u.Bytes)/1e6, float64(u.MaxBytes)/1e6, settings))
		}
	}
	queue("queue", "all functions", all, "async.queueAll and async.queueAllMB")
	queue("queue "+string(name), "function "+string(name), its, "async.queue and async.queueMB")
	d.mu.Lock()
	d.near = near
	d.mu.Unlock()
	return out
}
