package keep

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/cloudjit/cloudjit/internal/aot"
	"github.com/cloudjit/cloudjit/internal/seal"
)

// Movable is a builder whose artifacts are kept in a Store, and fit other machines, too.
type Movable interface {
	aot.Movable
	// Kept is where its artifacts are.
	Kept() *Store
}

// contents is what an artifact consists of. Its SHA-256 as JSON is the artifact's digest: who has that from somebody it trusts
// can take the artifact from anybody.
type contents struct {
	// Machine is what it was made for: GOOS/GOARCH.
	Machine string   `json:"machine"`
	Folders []string `json:"folders,omitempty"`
	Files   []piece  `json:"files"`
}

// piece is one file.
type piece struct {
	Path   string `json:"path"` // with slashes, in the artifact's folder
	SHA256 string `json:"sha256"`
	Size   int64  `json:"size"`
	Mode   uint32 `json:"mode"` // permissions
}

const (
	// maxContents is how long the list of an artifact's files may be, in bytes; maxPieces how many it may name;
	// maxArtifact how many bytes they may have together.
	maxContents = 4 << 20
	maxPieces   = 10_000
	maxArtifact = 8 << 30
)

// machine is what artifacts that are made here are for.
const machine = runtime.GOOS + "/" + runtime.GOARCH

// contents lists what the artifact of a key consists of.
func (s *Store) contents(key aot.Key) (*contents, error) {
	if !Valid(key) {
		return nil, fs.ErrNotExist
	}
	dir := s.Path(key)
	if err := check.Folder(dir); err != nil {
		return nil, err
	}
	sums, err := seal.Files(dir)
	if err != nil {
		return nil, err
	}
	c := &contents{Machine: machine}
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		name := filepath.ToSlash(rel)
		if d.IsDir() {
			c.Folders = append(c.Folders, name)
			return nil
		}
		info, err := d.Info()
		switch sum, sealed := sums[rel]; {
		case err != nil:
			return err
		case !info.Mode().IsRegular():
			return fmt.Errorf("%s is no ordinary file", d.Name())
		case sealed:
			c.Files = append(c.Files, piece{name, sum, info.Size(), uint32(info.Mode().Perm())})
		}
		return nil
	})
	if err == nil && len(c.Files) != len(sums) {
		err = fmt.Errorf("%d of its %d files are there", len(c.Files), len(sums))
	}
	if err != nil {
		return nil, err
	}
	slices.Sort(c.Folders)
	slices.SortFunc(c.Files, func(a, b piece) int { return strings.Compare(a.Path, b.Path) })
	return c, nil
}

func hashOf(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// Digest is the SHA-256 of the list of an artifact's files and their SHA-256, hex.
func (s *Store) Digest(key aot.Key) (string, error) {
	c, err := s.contents(key)
	var doc []byte
	if err == nil {
		doc, err = json.Marshal(c)
	}
	if err != nil {
		return "", fmt.Errorf("look at artifact %s: %w", key, err)
	}
	return hashOf(doc), nil
}

// Open gives away a part of an artifact: the list of its files if sum is empty, else the file whose SHA-256 that is. fs.ErrNotExist
// if it is not here.
func (s *Store) Open(key aot.Key, sum string) (io.ReadCloser, int64, error) {
	c, err := s.contents(key)
	if err != nil {
		return nil, 0, err
	}
	if sum == "" {
		doc, err := json.Marshal(c)
		return io.NopCloser(bytes.NewReader(doc)), int64(len(doc)), err
	}
	for _, p := range c.Files {
		if p.SHA256 == sum {
			f, err := os.Open(filepath.Join(s.Path(key), filepath.FromSlash(p.Path)))
			return f, p.Size, err
		}
	}
	return nil, 0, fs.ErrNotExist
}

// ErrDiffers is returned for what is not what it was said to be.
var ErrDiffers = errors.New("it is not what was made")

// Source is where an artifact is taken from. Nothing that it gives is trusted.
type Source struct {
	// Get gives what Open does there.
	Get func(ctx context.Context, sum string) (io.ReadCloser, error)
	// Admit refuses so many bytes more on the disk; nil: it never does.
	Admit func(bytes int64) error
}

// Take gets the artifact of a key, whose digest is known, from elsewhere. All of it is compared, while it comes, with what
// the digest says; there is all of it in the end, or, with an error, nothing.
func (s *Store) Take(ctx context.Context, key aot.Key, digest string, from Source) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("take artifact %.12s: %w", key, err)
		}
	}()
	if !Valid(key) || !Valid(aot.Key(digest)) {
		return errors.New("no key and digest of an artifact")
	}
	c, err := takeContents(ctx, digest, from)
	if err != nil {
		return err
	}
	release, err := s.Lock(ctx, key)
	if err != nil {
		return err
	}
	defer release()
	if have, err := s.Digest(key); err == nil && have == digest {
		return nil // another process took it
	}
	size := int64(0)
	for _, p := range c.Files {
		size += p.Size
	}
	if from.Admit != nil {
		if err := from.Admit(size); err != nil {
			return err
		}
	}
	scratch, err := s.Scratch()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, scratch.Remove()) }()
	dir := filepath.Join(scratch.Dir, "artifact")
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	for _, folder := range c.Folders { // sorted: the outer ones first
		if err := os.Mkdir(filepath.Join(dir, filepath.FromSlash(folder)), 0o755); err != nil {
			return err
		}
	}
	for i := range c.Files {
		if err := takeFile(ctx, dir, &c.Files[i], from); err != nil {
			return fmt.Errorf("%s: %w", c.Files[i].Path, err)
		}
	}
	b, err := os.ReadFile(filepath.Join(dir, resultName))
	if err != nil {
		return err
	}
	var r aot.Result
	if err := json.Unmarshal(b, &r); err != nil || r.Key != key {
		return fmt.Errorf("%w: it is the artifact of another key", ErrDiffers)
	}
	return s.place(key, dir)
}

// takeContents gets the list of an artifact's files.
func takeContents(ctx context.Context, digest string, from Source) (*contents, error) {
	in, err := from.Get(ctx, "")
	if err != nil {
		return nil, err
	}
	defer in.Close()
	doc, err := io.ReadAll(io.LimitReader(in, maxContents+1))
	if err != nil {
		return nil, fmt.Errorf("the list of its files: %w", err)
	}
	if len(doc) > maxContents || hashOf(doc) != digest {
		return nil, fmt.Errorf("the list of its files: %w", ErrDiffers)
	}
	return parseContents(doc)
}

// parseContents reads a list of files, and makes sure that it leads nowhere else.
func parseContents(doc []byte) (*contents, error) {
	c := new(contents)
	if err := json.Unmarshal(doc, c); err != nil {
		return nil, fmt.Errorf("the list of its files cannot be read: %w", err)
	}
	if c.Machine != machine {
		return nil, fmt.Errorf("it was made for %q, and this machine is %s", c.Machine, machine)
	}
	if len(c.Files)+len(c.Folders) > maxPieces {
		return nil, fmt.Errorf("it has %d files, and %d are the most", len(c.Files)+len(c.Folders), maxPieces)
	}
	seen := map[string]bool{seal.Name: true}
	total := int64(0)
	for _, p := range c.Files {
		if !inside(p.Path) || seen[p.Path] || !Valid(aot.Key(p.SHA256)) || p.Size < 0 || p.Size > maxArtifact || p.Mode&^0o777 != 0 {
			return nil, fmt.Errorf("the list of its files names %q, which cannot be", p.Path)
		}
		seen[p.Path] = true
		total += p.Size
	}
	for _, p := range c.Folders {
		if !inside(p) || seen[p] {
			return nil, fmt.Errorf("the list of its files names the folder %q, which cannot be", p)
		}
		seen[p] = true
	}
	if total > maxArtifact {
		return nil, fmt.Errorf("it has %d bytes, and %d are the most", total, int64(maxArtifact))
	}
	if !slices.IsSorted(c.Folders) {
		return nil, errors.New("the list of its folders is not in order")
	}
	return c, nil
}

// inside reports whether a path with slashes names something below a folder, in the one way that it can be named.
func inside(path string) bool { return fs.ValidPath(path) && path != "." }

// takeFile gets one file, and compares it while it comes.
func takeFile(ctx context.Context, dir string, p *piece, from Source) error {
	in, err := from.Get(ctx, p.SHA256)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(filepath.Join(dir, filepath.FromSlash(p.Path)), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	h := sha256.New()
	n, err := io.Copy(io.MultiWriter(out, h), io.LimitReader(in, p.Size+1))
	if err == nil && (n != p.Size || hex.EncodeToString(h.Sum(nil)) != p.SHA256) {
		err = ErrDiffers
	}
	if err == nil {
		err = out.Sync()
	}
	if err == nil {
		err = out.Chmod(fs.FileMode(p.Mode))
	}
	return errors.Join(err, out.Close())
}
