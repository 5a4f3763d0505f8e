package process

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"

	"github.com/tink-crypto/tink-go/v2/streamingaead/subtle"

	"github.com/cloudjit/cloudjit/internal/untar"
	"github.com/cloudjit/cloudjit/internal/worker"
)

// Where a key is configured nothing of a saved worker is on a disk in the clear: it is saved into memory that is this process's
// alone (memory), encrypted from there into one file, and decrypted into memory again for each start, for as long as that takes.
// Its copies share no memory, since that would have to stay.

const (
	sealedName = "snapshot.sealed"
	// clearPrefix is that of folders in the driver's memory.
	clearPrefix = "clear-"
	// KeySize is how many bytes the key of snapshots has: AES-256.
	KeySize = 32
	segment = 1 << 20 // bytes that are encrypted at once
)

// sealer encrypts what it is given, with AES-GCM under a key that is derived for each file; what was changed is refused.
func sealer(key []byte) (*subtle.AESGCMHKDF, error) {
	if len(key) != KeySize {
		return nil, fmt.Errorf("the key of snapshots has %d bytes: want %d", len(key), KeySize)
	}
	return subtle.NewAESGCMHKDF(key, "SHA256", KeySize, segment, 0)
}

// sealedFor binds a snapshot to its revision.
func sealedFor(spec *worker.Spec) []byte {
	return []byte("cloudjit snapshot of revision " + string(spec.Revision.ID))
}

// sealSnapshot lets save fill a folder in memory, and encrypts it into dir.
func (d *Driver) sealSnapshot(dir string, spec *worker.Spec, save func(dir string) error) (err error) {
	clear, err := os.MkdirTemp(d.memory.path(""), clearPrefix)
	if err != nil {
		return fmt.Errorf("save worker: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(clear)) }()
	if err := save(clear); err != nil {
		return err
	}
	f, err := os.OpenFile(filepath.Join(dir, sealedName), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("save worker: %w", err)
	}
	defer f.Close()
	w, err := d.sealer.NewEncryptingWriter(f, sealedFor(spec))
	if err != nil {
		return fmt.Errorf("encrypt snapshot: %w", err)
	}
	t := tar.NewWriter(w)
	if err := errors.Join(t.AddFS(os.DirFS(clear)), t.Close(), w.Close(), f.Close()); err != nil {
		return fmt.Errorf("encrypt snapshot: %w", err)
	}
	return nil
}

// Seal lets save fill dir with what was saved of a worker of another driver: encrypted, by way of memory, where a key is
// configured.
func (d *Driver) Seal(dir string, spec *worker.Spec, save func(dir string) error) error {
	if d.sealer == nil {
		return save(dir)
	}
	if err := d.haveMemory(); err != nil {
		return err
	}
	return d.sealSnapshot(dir, spec, save)
}

// Unseal lets read see what Seal left in spec.Restore.
func (d *Driver) Unseal(spec *worker.Spec, read func(dir string) error) error {
	if d.sealer == nil {
		return read(spec.Restore)
	}
	if err := d.haveMemory(); err != nil {
		return err
	}
	clear, err := d.unseal(spec)
	if err != nil {
		return err
	}
	return errors.Join(read(clear), os.RemoveAll(clear))
}

// haveMemory makes the file system in memory where this driver's own workers cannot be saved.
func (d *Driver) haveMemory() (err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.memory.root == nil {
		d.memory, err = newMemory()
	}
	return err
}

// unseal decrypts the snapshot in dir into memory; the folder is the caller's to remove.
func (d *Driver) unseal(spec *worker.Spec) (clear string, err error) {
	f, err := os.Open(filepath.Join(spec.Restore, sealedName))
	if errors.Is(err, os.ErrNotExist) {
		return "", errors.New("it is not encrypted, and a key is configured")
	}
	if err != nil {
		return "", err
	}
	defer f.Close()
	r, err := d.sealer.NewDecryptingReader(f, sealedFor(spec))
	if err != nil {
		return "", fmt.Errorf("it cannot be decrypted with the configured key: %w", err)
	}
	if clear, err = os.MkdirTemp(d.memory.path(""), clearPrefix); err != nil {
		return "", err
	}
	if err := extract(r, clear); err != nil {
		return "", errors.Join(fmt.Errorf("it cannot be decrypted with the configured key: %w", err), os.RemoveAll(clear))
	}
	return clear, nil
}

// extract: the archive is our own and encrypted, so its sizes are not limited; what it has is plain files and folders.
func extract(r io.Reader, dir string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	for e, err := range untar.Entries(r, untar.Limits{Entries: math.MaxInt, Bytes: math.MaxInt64}) {
		switch {
		case err != nil:
		case e.IsDir():
			err = root.Mkdir(e.Name, 0o700)
		case e.IsFile():
			err = errors.Join(e.Extract(root, e.Name, 0o600, "."), root.Chmod(e.Name, e.FileInfo().Mode().Perm()))
		default:
			err = fmt.Errorf("%q is no file", e.Name)
		}
		if err != nil {
			return err
		}
	}
	_, err = io.Copy(io.Discard, r) // the whole is authentic only when its end was seen
	return err
}
