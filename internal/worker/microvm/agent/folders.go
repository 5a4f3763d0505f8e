package agent

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"

	"github.com/hashicorp/yamux"

	"github.com/cloudjit/cloudjit/internal/worker/microvm/wire"
)

// list sends what the driver wants of a folder. What may come out of it is the driver's to decide: here everything
// is told as it is, and only files are read.
func (a *agent) list(st *yamux.Stream, r *wire.Request) {
	a.mu.Lock()
	ok := r.Folder >= 0 && r.Folder < len(a.folders)
	var dir string
	if ok {
		dir = in(a.folders[r.Folder].Target)
	}
	a.mu.Unlock()
	if !ok {
		_ = wire.Write(st, wire.Entry{Error: "there is no such folder"})
		return
	}
	l := &lister{to: st, dir: dir, names: r.Names}
	if r.Op == wire.OpRead {
		err := l.entry(r.Name, r.Limit)
		if errors.Is(err, fs.ErrNotExist) {
			_ = wire.Write(st, wire.Entry{})
		}
		return
	}
	if err := l.folder(""); err != nil {
		_ = wire.Write(st, wire.Entry{Error: err.Error()})
		return
	}
	_ = wire.Write(st, wire.Entry{})
}

type lister struct {
	to    io.Writer
	dir   string
	names []string
}

func (l *lister) wants(name string) bool {
	return slices.ContainsFunc(l.names, func(pattern string) bool {
		ok, err := path.Match(pattern, name)
		return pattern == "**" || err == nil && ok
	})
}

func (l *lister) folder(rel string) error {
	all, err := os.ReadDir(filepath.Join(l.dir, rel))
	if err != nil {
		return err
	}
	for _, e := range all {
		name := path.Join(rel, e.Name())
		if !l.wants(name) {
			continue
		}
		if err := l.entry(name, -1); err != nil {
			return err
		}
		if e.IsDir() && slices.Contains(l.names, "**") {
			if err := l.folder(name); err != nil {
				return err
			}
		}
	}
	return nil
}

// entry sends one file, or what else it is, and its content if it is no longer than limit; -1: in any case.
func (l *lister) entry(name string, limit int64) error {
	file := filepath.Join(l.dir, name)
	info, err := os.Lstat(file)
	if err != nil {
		return err
	}
	e := wire.Entry{Path: name, Mode: uint32(info.Mode())}
	if !info.Mode().IsRegular() {
		return wire.Write(l.to, e)
	}
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	e.Size = info.Size()
	if err := wire.Write(l.to, e); err != nil || limit >= 0 && e.Size > limit {
		return err
	}
	_, err = io.CopyN(l.to, struct{ io.Reader }{f}, e.Size)
	return err
}
