package server

import (
	"path/filepath"
	"sync"
	"time"

	"github.com/cloudjit/cloudjit/internal/artifact"
	"github.com/cloudjit/cloudjit/internal/health"
)

// diskUse says what the server has stored. Folders are counted at most every few seconds.
type diskUse struct {
	server *Server
	code   *artifact.Store

	mu      sync.Mutex
	counted time.Time
	folders map[string]int64
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
		{Kind: "recordings", Bytes: d.folder("run")},
		{Kind: "bodies", Bytes: s.bodies.Usage().Disk, Limit: int64(c.Disk.BodiesMB) * 1e6},
		{Kind: "audit", Bytes: audit, Limit: int64(c.Audit.FileMB) * 1e6 * int64(c.Audit.Files*len(s.audits))},
	}
}
