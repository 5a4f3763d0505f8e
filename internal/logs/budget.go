package logs

import (
	"cmp"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// What all functions' logs take together.

// diskUse is what one function's log takes.
type diskUse struct {
	older, current int64 // bytes
	wrote          time.Time
}

func useOf(dir string) (u diskUse) {
	if info, err := os.Stat(filepath.Join(dir, olderFile)); err == nil {
		u.older, u.wrote = info.Size(), info.ModTime()
	}
	if info, err := os.Stat(filepath.Join(dir, currentFile)); err == nil {
		u.current, u.wrote = info.Size(), info.ModTime()
	}
	return u
}

// Usage is what the logs take: bytes on disk, and of lines in memory.
func (s *Store) Usage() (disk, memory int64) {
	for _, u := range s.uses() {
		disk += u.older + u.current
	}
	return disk, s.memory.Load()
}

type functionUse struct {
	diskUse
	function string
	stream   *stream // nil: it is not open
}

func (s *Store) uses() []functionUse {
	s.mu.Lock()
	defer s.mu.Unlock()
	uses := make([]functionUse, 0, len(s.streams)+len(s.cold))
	for name, u := range s.cold {
		uses = append(uses, functionUse{u, name, nil})
	}
	for name, st := range s.streams {
		st.mu.Lock()
		uses = append(uses, functionUse{diskUse{st.older, st.size, st.wrote}, name, st})
		st.mu.Unlock()
	}
	return uses
}

// shrink gives each function its share of memory, if all together have more than there is.
func (s *Store) shrink() {
	if s.memory.Load() <= int64(s.opt.MemoryBytes) {
		return
	}
	s.mu.Lock()
	streams := s.all()
	s.mu.Unlock()
	share := s.opt.MemoryBytes / len(streams)
	for _, st := range streams {
		st.mu.Lock()
		st.trim(share)
		st.mu.Unlock()
	}
}

// tidy closes the files of functions that write nothing, and makes room where all logs together are too large.
func (s *Store) tidy(now time.Time) {
	uses := s.uses()
	var total int64
	for _, u := range uses {
		total += u.older + u.current
		if u.stream != nil && now.Sub(u.wrote) > idleAfter {
			u.stream.rest()
		}
	}
	if s.opt.TotalBytes == 0 || total <= s.opt.TotalBytes {
		return
	}
	slices.SortFunc(uses, func(a, b functionUse) int { return a.wrote.Compare(b.wrote) })
	for _, u := range uses {
		if total > s.opt.TotalBytes && u.older > 0 {
			total -= s.forget(u)
		}
	}
	// All that is left are current files: the largest go first.
	slices.SortFunc(uses, func(a, b functionUse) int { return cmp.Compare(b.current, a.current) })
	for _, u := range uses {
		if total <= s.opt.TotalBytes {
			return
		}
		if u.stream == nil {
			st, err := s.stream(u.function)
			if err != nil {
				continue
			}
			u.stream = st
		}
		u.stream.disk.Lock()
		err := u.stream.rotate()
		u.stream.disk.Unlock()
		if err == nil {
			total -= s.forget(u)
		}
	}
}

// forget removes a function's older file and says how many bytes that was.
func (s *Store) forget(u functionUse) int64 {
	if u.stream == nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		cold, ok := s.cold[u.function]
		if !ok || os.Remove(filepath.Join(s.dir, u.function, olderFile)) != nil {
			return 0 // opened meanwhile: the next time
		}
		freed := cold.older
		cold.older = 0
		s.cold[u.function] = cold
		return freed
	}
	u.stream.disk.Lock()
	defer u.stream.disk.Unlock()
	u.stream.mu.Lock()
	defer u.stream.mu.Unlock()
	if u.stream.closed || os.Remove(filepath.Join(u.stream.dir, olderFile)) != nil {
		return 0
	}
	freed := u.stream.older
	u.stream.older = 0
	return freed
}

// rest closes the file until the next line.
func (st *stream) rest() {
	st.disk.Lock()
	defer st.disk.Unlock()
	if st.file == nil || st.flushLocked() != nil {
		return
	}
	_ = st.file.Close() // all of it has been written
	st.file, st.spare = nil, nil
	st.mu.Lock()
	defer st.mu.Unlock()
	st.trim(0)
}
