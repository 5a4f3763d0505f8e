// Package disk keeps room on the file system of a data folder, so that a full disk is an answer to
// new work and not the end of what is there.
//
// A part of the disk is held as a file, the reserve. What clients want to store is refused before the
// rest is used up; when another program takes that too, the reserve is given back to the file
// system, so that what is under way can still be finished and written down. The package must not know what is
// stored; who writes asks first.
package disk

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// ErrFull is returned while there is no room for what is to be written.
var ErrFull = errors.New("disk is full")

// Options of Open.
type Options struct {
	// Dir is a folder on the file system that is watched; it must be there.
	Dir string
	// Reserve in bytes; 0: a twentieth of the file system, 4 MiB at least and 64 MiB at most.
	Reserve int64
	// Logger is told when the disk is full and when there is room again; nil: nobody is.
	Logger *slog.Logger
}

const (
	minReserve = 4 << 20
	maxReserve = 64 << 20
	// lowPart: a disk is low when less is free than so many reserves.
	lowPart = 4
	// period is how often the guard looks when nobody writes.
	period = 100 * time.Millisecond
)

// Guard watches one file system. Its methods may be called concurrently; those of a nil guard admit everything.
type Guard struct {
	dir     string
	file    string // the reserve
	reserve int64
	log     *slog.Logger
	stop    chan struct{}
	done    chan struct{}

	mu    sync.Mutex
	held  bool // the reserve is on disk
	full  bool
	since time.Time
}

// State is how a guard's file system is.
type State struct {
	// Free is what may still be written, without the reserve; Reserve what is kept back. Bytes.
	Free, Reserve int64
	// Full says that new things are refused, since when. Low: they soon are.
	Full  bool
	Low   bool
	Since time.Time
}

// Open takes the reserve, if there is room for it, and starts to watch.
func Open(o Options) (*Guard, error) {
	g := &Guard{dir: o.Dir, file: filepath.Join(o.Dir, "reserve"), reserve: o.Reserve, log: o.Logger,
		stop: make(chan struct{}), done: make(chan struct{})}
	if g.log == nil {
		g.log = slog.New(slog.DiscardHandler)
	}
	st, err := stat(g.dir)
	if err != nil {
		return nil, fmt.Errorf("watch the disk of %s: %w", g.dir, err)
	}
	if g.reserve == 0 {
		g.reserve = min(max(st.size/20, minReserve), maxReserve)
	}
	if info, err := os.Stat(g.file); err == nil {
		g.held = info.Size() == g.reserve
	}
	g.look()
	go g.run()
	return g, nil
}

func (g *Guard) run() {
	defer close(g.done)
	tick := time.NewTicker(period)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			g.look()
		case <-g.stop:
			return
		}
	}
}

// Close ends the watch. The reserve stays on disk for the next server.
func (g *Guard) Close() {
	if g == nil {
		return
	}
	close(g.stop)
	<-g.done
}

// margin is what must stay free beside the reserve for new things to be taken; floor what is needed for the
// notes on what is under way.
func (g *Guard) margin() int64 { return g.reserve / 2 }
func (g *Guard) floor() int64  { return g.reserve / 8 }

// look compares the disk with what is kept free, and gives the reserve back or takes it again.
func (g *Guard) look() room {
	g.mu.Lock()
	defer g.mu.Unlock()
	st, err := stat(g.dir)
	if err != nil {
		return room{} // the next write says what is wrong with the folder
	}
	if g.held && st.free < g.margin()/2 {
		g.release()
		st, _ = stat(g.dir)
	}
	if !g.held && st.free >= g.reserve+g.margin()+g.margin()/2 && st.inodes > 0 {
		g.take()
		st, _ = stat(g.dir)
	}
	full := !g.held || st.free < g.margin() || st.inodes == 0
	if full != g.full {
		g.full, g.since = full, time.Now()
		if full {
			g.log.Error("the disk is full: nothing new is stored until there is room again", "folder", g.dir, "free", st.free, "reserve", g.reserve)
		} else {
			g.log.Info("there is room on the disk again", "folder", g.dir, "free", st.free)
		}
	}
	return st
}

func (g *Guard) release() {
	if err := os.Truncate(g.file, 0); err != nil {
		g.log.Error("give back the reserve of disk", "file", g.file, "error", err)
		return
	}
	g.held = false
}

// take makes the reserve. Files with holes would reserve nothing, so where blocks cannot be asked for
// they are written.
func (g *Guard) take() {
	f, err := os.OpenFile(g.file, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		g.log.Error("reserve room on the disk", "file", g.file, "error", err)
		return
	}
	defer f.Close()
	err = unix.Fallocate(int(f.Fd()), 0, 0, g.reserve)
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS) {
		zeros := make([]byte, 1<<20)
		for at := int64(0); at < g.reserve; at += int64(len(zeros)) {
			if _, err = f.WriteAt(zeros[:min(int64(len(zeros)), g.reserve-at)], at); err != nil {
				break
			}
		}
	}
	if err != nil {
		_ = f.Truncate(0)
		return // taken meanwhile: the next look sees it
	}
	g.held = true
}

// FullError says how full a disk is. It is an ErrFull.
type FullError struct {
	Dir        string
	Free, Want int64 // bytes
	Inodes     bool  // there are no inodes left
}

func (e *FullError) Error() string {
	if e.Inodes {
		return fmt.Sprintf("%v: the file system of %s has no inodes left; remove files there", ErrFull, e.Dir)
	}
	return fmt.Sprintf("%v: the file system of %s has %.1f MB left, and %.1f MB are wanted; make room there, and it goes on by itself",
		ErrFull, e.Dir, float64(e.Free)/1e6, float64(e.Want)/1e6)
}

// Is makes it an ErrFull.
func (e *FullError) Is(target error) bool { return target == ErrFull }

// Admit says whether n bytes of something new may be written now; the error is a *FullError.
func (g *Guard) Admit(n int64) error {
	if g == nil {
		return nil
	}
	st, err := stat(g.dir)
	if err != nil {
		return nil // the write itself will say what is wrong
	}
	g.mu.Lock()
	full := g.full
	g.mu.Unlock()
	if full || st.free < g.margin()+n || st.inodes == 0 {
		st = g.look()
		g.mu.Lock()
		full = g.full
		g.mu.Unlock()
	}
	if full || st.free < g.margin()+n || st.inodes == 0 {
		want := n + g.margin()
		if full {
			want += g.reserve
		}
		return &FullError{Dir: g.dir, Free: st.free, Want: want, Inodes: st.inodes == 0}
	}
	return nil
}

// AdmitNote is Admit for what says how something ended that is under way: it may use the reserve.
func (g *Guard) AdmitNote(n int64) error {
	if g == nil {
		return nil
	}
	st, err := stat(g.dir)
	if err != nil {
		return nil
	}
	if st.free < g.floor()+n {
		st = g.look()
	}
	if st.free < g.floor()+n {
		return &FullError{Dir: g.dir, Free: st.free, Want: g.floor() + n, Inodes: st.inodes == 0}
	}
	return nil
}

// State returns how the file system is now.
func (g *Guard) State() State {
	if g == nil {
		return State{}
	}
	st := g.look()
	g.mu.Lock()
	defer g.mu.Unlock()
	free := max(st.free-g.margin(), 0)
	return State{Free: free, Reserve: g.reserve, Full: g.full, Low: free < lowPart*g.reserve, Since: g.since}
}

type room struct{ size, free, inodes int64 }

func stat(dir string) (room, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return room{}, err
	}
	r := room{size: int64(st.Blocks) * st.Bsize, free: int64(st.Bavail) * st.Bsize, inodes: int64(st.Ffree)}
	if st.Files == 0 {
		r.inodes = 1 // this file system does not count them
	}
	return r, nil
}
