package snapshot

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/worker"
)

const secretPython = `
import hashlib
# Made while it runs, so that it is in memory alone.
secret = hashlib.sha256(b"not in the code").hexdigest() * 4
open("/tmp/kept", "w").write(secret)
def handler(event, context):
    return {"secret": secret, "kept": open("/tmp/kept").read()}
`

// TestEncryptedSnapshots: with a key nothing of a saved worker is on the disk in the clear, or left in memory, and only that key restores it.
func TestEncryptedSnapshots(t *testing.T) {
	f := newLanguageFixture(t, function.KindPython, "draws.py", secretPython)
	plain, err := f.build()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	use := func(key byte) {
		f.driver = newDriverIn(t, dir, bytes.Repeat([]byte{key}, 32))
		f.opts.Driver = f.driver
	}
	use(1)
	w, err := f.plain()
	if err != nil {
		t.Fatal(err)
	}
	answer := f.ask(w)
	secret := answer["secret"].(string)
	if err := w.Stop(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	made, err := f.build()
	if err != nil {
		t.Fatal(err)
	}
	holds := func(dir string) (found bool) {
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			info, err := d.Info()
			if err == nil && (filepath.Ext(path) == ".img" || filepath.Ext(path) == ".sealed") && info.Mode().Perm() != 0o600 {
				t.Errorf("%s is %v", path, info.Mode())
			}
			b, rerr := os.ReadFile(path)
			found = found || bytes.Contains(b, []byte(secret[:64]))
			return errors.Join(err, rerr)
		})
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	if !holds(plain.Dir) || holds(made.Dir) {
		t.Errorf("the secret is in the snapshot without a key: %v, and with one: %v", holds(plain.Dir), holds(made.Dir))
	}

	w, err = f.restore(made.Dir)
	if err != nil {
		t.Fatal(err)
	}
	if got := f.ask(w); got["secret"] != secret || got["kept"] != secret {
		t.Errorf("a copy answers %v", got)
	}
	// What a driver decrypts lies in a file system that only its descriptor leads to.
	if left, err := filepath.Glob("/proc/self/fd/*/clear-*"); err != nil || len(left) > 0 {
		t.Errorf("left in memory: %v, %v", left, err)
	}
	if err := w.Stop(t.Context(), 0); err != nil {
		t.Fatal(err)
	}

	refused := func(what, dir string) {
		t.Helper()
		var failed *worker.StartError
		if _, err := f.restore(dir); !errors.As(err, &failed) || !errors.Is(err, worker.ErrNotRestored) {
			t.Errorf("%s: %v", what, err)
		} else {
			t.Logf("%s: %v", what, err)
		}
	}
	refused("made without a key", plain.Dir)
	f.request.Revision.ID = "02REV"
	refused("another revision's", made.Dir)
	f.request.Revision.ID = "01REV"
	if err := f.driver.Close(); err != nil {
		t.Fatal(err)
	}
	use(2)
	refused("another key's", made.Dir)
	if err := f.driver.Close(); err != nil {
		t.Fatal(err)
	}
	use(1)
	sealed := filepath.Join(made.Dir, "snapshot.sealed")
	b, err := os.ReadFile(sealed)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/2] ^= 1
	if err := os.WriteFile(sealed, b, 0o600); err != nil {
		t.Fatal(err)
	}
	refused("a changed one", made.Dir)
	if err := os.Truncate(sealed, int64(len(b)/2)); err != nil {
		t.Fatal(err)
	}
	refused("a cut one", made.Dir)
}
