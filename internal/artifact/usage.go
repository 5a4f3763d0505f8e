package artifact

import (
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// usage is what the store takes on disk. It is counted anew now and then, since what is made of a blob may be
// added to later.
type usage struct {
	mu    sync.Mutex
	bytes int64
	at    time.Time // when it was counted; zero: never
}

// countEvery is how long a count holds, but for what is added and removed.
const countEvery = 10 * time.Minute

func (u *usage) add(n int64) {
	u.mu.Lock()
	u.bytes += n
	u.mu.Unlock()
}

// Usage is what blobs and trees take together, in bytes of their files.
func (s *Store) Usage() int64 {
	u := &s.usage
	u.mu.Lock()
	fresh := !u.at.IsZero() && time.Since(u.at) < countEvery
	before := u.bytes
	u.mu.Unlock()
	if !fresh {
		counted := Size(filepath.Join(s.dir, "blobs")) + Size(filepath.Join(s.dir, "trees"))
		u.mu.Lock()
		u.bytes = counted + u.bytes - before // what came and went meanwhile may be counted twice, until the next time
		u.at = time.Now()
		u.mu.Unlock()
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	return max(0, u.bytes)
}

// Size is what the files below a folder take, in bytes; what vanishes meanwhile counts nothing.
func Size(dir string) (total int64) {
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			if d != nil && d.IsDir() && !os.IsNotExist(err) {
				return fs.SkipDir
			}
			return nil
		}
		if info, err := d.Info(); err == nil && info.Mode().IsRegular() {
			total += info.Size()
		}
		return nil
	})
	return total
}
