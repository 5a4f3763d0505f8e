package microvm

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/cloudjit/cloudjit/internal/worker/process"
)

// images are the read-only file systems of guests. Each is named by the hash of its bytes; what it was made of is
// looked at each time, and an image is made again only when that has changed.
type images struct {
	dir string

	ctx    context.Context // ends with close
	cancel context.CancelFunc
	all    sync.WaitGroup

	mu   sync.Mutex
	busy map[string]*making
}

// making is an image on its way: who comes later waits for it.
type making struct {
	done chan struct{}
	path string
	err  error
}

func newImages(dir string) (*images, error) {
	// Nobody else may look into the folder: functions' code is in it. Monitors see single files of it.
	for _, d := range []string{dir, filepath.Join(dir, "made-of"), filepath.Join(dir, bootedFolder)} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return nil, fmt.Errorf("make the folder of images: %w", err)
		}
	}
	if err := prune(dir, time.Now()); err != nil {
		return nil, fmt.Errorf("clean the folder of images: %w", err)
	}
	s := &images{dir: dir, busy: map[string]*making{}}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s, nil
}

// MakeImages makes the images of the host's system and of folders beside it in dir, so that no first worker waits for
// them.
func MakeImages(ctx context.Context, dir string, folders []string) error {
	s, err := newImages(dir)
	if err != nil {
		return err
	}
	defer s.close()
	var all []imageSource
	for _, d := range process.System() {
		if d.Link == "" {
			all = append(all, imageSource{path: "/" + d.Name, dir: true, system: true})
		}
	}
	for _, f := range folders {
		all = append(all, imageSource{path: f, dir: true})
	}
	for _, src := range all {
		if _, err := s.of(ctx, src); err != nil {
			return err
		}
	}
	return nil
}

// Images that nobody used for unusedTime go, and what an image was left half made of for partTime.
const (
	unusedTime = 14 * 24 * time.Hour
	partTime   = 24 * time.Hour
)

// prune removes what is not used any more. A virtual machine that runs keeps what it has open.
func prune(dir string, now time.Time) error {
	var errs []error
	for pattern, age := range map[string]time.Duration{"*.erofs": unusedTime, "made-of/*": unusedTime * 2, ".part-*": partTime, bootedFolder + "/*": unusedTime, bootedFolder + "/.part-*": partTime} {
		names, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			return err
		}
		for _, name := range names {
			if info, err := os.Lstat(name); err == nil && now.Sub(info.ModTime()) > age {
				errs = append(errs, os.RemoveAll(name))
			}
		}
	}
	return errors.Join(errs...)
}

// imageSource is a folder, or one file, of the host.
type imageSource struct {
	path string
	dir  bool
	// system: a folder of the host's own, of which only some is shown, and which is looked at by its upper folders:
	// packages are installed by renames.
	system bool
}

// systemOmits are parts of /usr that no function runs with: what compiles, documents and boots. Folders of JDKs stay, empty, since
// each function sees its own.
const systemOmits = `^(include|src|games|libexec|share/(doc|man|info|locale|icons|help|gtk-doc|vim|i18n|lintian|bash-completion|qemu|package-lists)|` +
	`lib/(gcc.*|llvm.*|debug|modules|firmware|chromium|google-cloud-sdk|go.*|rustlib|cmake|postgresql|git-core|systemd|udev|grub|linux-.*)|` +
	`lib/jvm/[^/]+/.*|lib/[^/]+/(libLLVM|libclang).*|bin/(qemu|x86_64-linux-gnu).*|lib/[^/]+/(dri|samba|valgrind)|local/(go|include|share/man))(/|$)`

// of returns the image of a source.
func (s *images) of(ctx context.Context, src imageSource) (string, error) {
	sig, err := src.signature()
	if err != nil {
		return "", fmt.Errorf("look at %s: %w", src.path, err)
	}
	s.mu.Lock()
	m, ok := s.busy[sig]
	if !ok {
		m = &making{done: make(chan struct{})}
		s.busy[sig] = m
	}
	s.mu.Unlock()
	if !ok {
		// Whoever asked first may give up: the image is wanted again soon.
		s.all.Go(func() {
			m.path, m.err = s.make(s.ctx, src, sig)
			s.mu.Lock()
			delete(s.busy, sig) // the next one looks at the disk again: somebody may have cleaned up
			s.mu.Unlock()
			close(m.done)
		})
	}
	select {
	case <-m.done:
		return m.path, m.err
	case <-ctx.Done():
		return "", fmt.Errorf("make an image of %s: %w", src.path, ctx.Err())
	}
}

// close stops what is under way.
func (s *images) close() {
	s.cancel()
	s.all.Wait()
}

func (s *images) make(ctx context.Context, src imageSource, sig string) (string, error) {
	known := filepath.Join(s.dir, "made-of", sig)
	if name, err := os.ReadFile(known); err == nil {
		path := filepath.Join(s.dir, filepath.Base(string(name)))
		now := time.Now()
		if os.Chtimes(path, now, now) == nil { // it is there, and in use: see prune
			return path, nil
		}
	}
	mkfs, err := exec.LookPath("mkfs.erofs")
	if err != nil {
		return "", fmt.Errorf("make an image: %w (Debian: apt-get install erofs-utils)", err)
	}
	tmp, err := os.MkdirTemp(s.dir, ".part-")
	if err != nil {
		return "", fmt.Errorf("make an image: %w", err)
	}
	defer os.RemoveAll(tmp)
	from, part := src.path, filepath.Join(tmp, "image")
	if !src.dir {
		from = filepath.Join(tmp, "file")
		if err := errors.Join(os.Mkdir(from, 0o755), copyFile(src.path, filepath.Join(from, filepath.Base(src.path)))); err != nil {
			return "", fmt.Errorf("make an image: %w", err)
		}
	}
	// Times stay, because JVMs compare them with those in their caches; nothing else of the host's does.
	args := []string{"--quiet", "-x-1", "--all-root", "-U00000000-0000-4000-8000-000000000000", "-Eforce-inode-extended"}
	if src.system {
		args = append(args, "--exclude-regex="+systemOmits)
	}
	out, err := exec.CommandContext(ctx, mkfs, append(args, part, from)...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("make an image of %s: %w: %s", src.path, err, strings.TrimSpace(string(out)))
	}
	if now, err := src.signature(); err != nil || now != sig {
		return "", fmt.Errorf("make an image of %s: it changed meanwhile", src.path)
	}
	f, err := os.OpenFile(part, os.O_RDWR, 0)
	if err == nil {
		err = forgetTime(f)
	}
	if err != nil {
		return "", fmt.Errorf("make an image: %w", err)
	}
	h := sha256.New()
	_, err = io.Copy(h, f)
	_ = f.Close()
	name := hex.EncodeToString(h.Sum(nil)[:16]) + ".erofs"
	if err == nil {
		err = os.Chmod(part, 0o444)
	}
	if err == nil {
		err = os.Rename(part, filepath.Join(s.dir, name))
	}
	note := filepath.Join(tmp, "name")
	if err == nil {
		err = errors.Join(os.WriteFile(note, []byte(name), 0o644), os.Rename(note, known))
	}
	if err != nil {
		return "", fmt.Errorf("make an image: %w", err)
	}
	return filepath.Join(s.dir, name), nil
}

// forgetTime takes the time at which it was made out of an image's superblock (fs/erofs/erofs_fs.h of the kernel): the same
// content is the same bytes. No inode needs it, since each has its own.
func forgetTime(f *os.File) error {
	const offset, size, sum, features, buildTime = 1024, 4096 - 1024, 4, 8, 24
	const magic, hasSum = 0xe0f5e1e2, 1
	b := make([]byte, size)
	if _, err := f.ReadAt(b, offset); err != nil {
		return err
	}
	le := binary.LittleEndian
	if le.Uint32(b) != magic {
		return errors.New("mkfs.erofs made something else")
	}
	clear(b[buildTime : buildTime+12])
	if le.Uint32(b[features:])&hasSum != 0 {
		le.PutUint32(b[sum:], 0)
		le.PutUint32(b[sum:], ^crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli))) // without the last inversion
	}
	_, err := f.WriteAt(b, offset)
	return err
}

// copyFile copies a file with its times.
func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return err
	}
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, info.Mode().Perm())
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close(), os.Chtimes(to, info.ModTime(), info.ModTime()))
}

// systemDepth is down to where the folders of a system are looked at.
const systemDepth = 2

// signature changes with everything that an image would have of the source.
func (src imageSource) signature() (string, error) {
	h := sha256.New()
	fmt.Fprintf(h, "2\n%t %t\n%s\n%s\n", src.dir, src.system, src.path, systemOmits)
	note := func(rel string, info fs.FileInfo) {
		fmt.Fprintf(h, "%q %v %d %d\n", rel, info.Mode(), info.Size(), info.ModTime().UnixNano())
	}
	if !src.dir {
		info, err := os.Stat(src.path)
		if err != nil {
			return "", err
		}
		note("", info)
		return hex.EncodeToString(h.Sum(nil)[:16]), nil
	}
	root, err := filepath.EvalSymlinks(src.path)
	if err != nil {
		return "", err
	}
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel := strings.TrimPrefix(path, root)
		if src.system && !d.IsDir() {
			return nil
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		note(rel, info)
		if src.system && strings.Count(rel, "/") == systemDepth { // without reading it
			return fs.SkipDir
		}
		if info.Mode()&fs.ModeSymlink != 0 {
			to, err := os.Readlink(path)
			if err != nil {
				return err
			}
			fmt.Fprintf(h, "%q\n", to)
		}
		return nil
	})
	return hex.EncodeToString(h.Sum(nil)[:16]), err
}
