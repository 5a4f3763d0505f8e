package microvm

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cloudjit/cloudjit/internal/worker"
	"github.com/cloudjit/cloudjit/internal/worker/microvm/wire"
)

// sent is what a guest sends, each entry with its content.
func sent(entries ...any) *bytes.Buffer {
	var b bytes.Buffer
	for _, e := range entries {
		switch e := e.(type) {
		case wire.Entry:
			_ = wire.Write(&b, e)
		case string:
			b.WriteString(e)
		}
	}
	return &b
}

// TestHostileGuest: what a guest sends that was taken over comes nowhere but into the folder, and only as it was asked
// for.
func TestHostileGuest(t *testing.T) {
	end := wire.Entry{}
	for name, test := range map[string]struct {
		names   []string
		entries []any
		reason  string
	}{
		"outside":  {[]string{"**"}, []any{wire.Entry{Path: "../x", Size: 1}, "x", end}, "asked"},
		"absolute": {[]string{"**"}, []any{wire.Entry{Path: "/etc/x", Size: 1}, "x", end}, "asked"},
		"other":    {[]string{"a"}, []any{wire.Entry{Path: "b", Size: 1}, "x", end}, "asked"},
		"below":    {[]string{"a"}, []any{wire.Entry{Path: "c/a", Size: 1}, "x", end}, "asked"},
		"itself":   {[]string{"**"}, []any{wire.Entry{Path: ".", Size: 1}, "x", end}, "asked"},
		"link":     {[]string{"a"}, []any{wire.Entry{Path: "a", Mode: uint32(fs.ModeSymlink)}, end}, "link"},
		"device":   {[]string{"a"}, []any{wire.Entry{Path: "a", Mode: uint32(fs.ModeDevice)}, end}, "no file"},
		"control":  {[]string{"**"}, []any{wire.Entry{Path: "a\nb", Size: 1}, "x", end}, "control"},
		"deep":     {[]string{"**"}, []any{wire.Entry{Path: strings.Repeat("d/", 70) + "x", Size: 1}, "x", end}, "deep"},
		"large":    {[]string{"a"}, []any{wire.Entry{Path: "a", Size: 1 << 40}, end}, "larger"},
		"negative": {[]string{"a"}, []any{wire.Entry{Path: "a", Size: -1}, end}, "larger"},
	} {
		dir := t.TempDir()
		to, err := os.OpenRoot(dir)
		if err != nil {
			t.Fatal(err)
		}
		k := keeper{to: to, room: 1 << 20, Folder: worker.Folder{Names: test.names}}
		err = k.all(sent(test.entries...))
		var refused *worker.KeepError
		if !errors.As(err, &refused) || !strings.Contains(refused.Reason, test.reason) {
			t.Errorf("%s: got %v, want a refusal with %q", name, err, test.reason)
		}
		if all, _ := os.ReadDir(dir); len(all) > 0 {
			t.Errorf("%s: it wrote %v", name, all)
		}
		to.Close()
	}
	// A folder that a link of ours leads out of is not followed either.
	dir := t.TempDir()
	if err := os.Symlink("/tmp", filepath.Join(dir, "out")); err != nil {
		t.Fatal(err)
	}
	to, _ := os.OpenRoot(dir)
	defer to.Close()
	k := keeper{to: to, room: 1 << 20, Folder: worker.Folder{Names: []string{"**"}}}
	if err := k.all(sent(wire.Entry{Path: "out/escaped-of-microvm-test", Size: 1}, "x", end)); err == nil {
		t.Error("it wrote through a link")
	}
}

func FuzzKeep(f *testing.F) {
	f.Add(sent(wire.Entry{Path: "a", Size: 1}, "x", wire.Entry{Path: "d", Mode: uint32(fs.ModeDir)}, wire.Entry{}).Bytes())
	f.Add(sent(wire.Entry{Path: "../a", Size: 1}, "x").Bytes())
	f.Fuzz(func(t *testing.T, in []byte) {
		base := t.TempDir()
		dir := filepath.Join(base, "keep")
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		to, err := os.OpenRoot(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer to.Close()
		k := keeper{to: to, room: 1 << 16, Folder: worker.Folder{Names: []string{"**"}}}
		_ = k.all(bytes.NewReader(in))
		_, _ = readEntry(bytes.NewReader(in), "a", 1<<16)
		if all, _ := os.ReadDir(base); len(all) != 1 {
			t.Errorf("%q wrote outside of its folder", in)
		}
	})
}
