package toolchain

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"syscall"
)

// versions remembers what programs say of themselves when they are asked for their version. Starting one takes some tens of
// milliseconds, and much longer on a busy machine. It is a cache: a file that is missing or damaged only costs time.
type versions struct {
	file   string             // empty: nothing outlives this value
	stored map[string]version // by path, as the file has it
	asked  map[string]version // by path, of this time
}

type version struct {
	// State tells a program that was changed or replaced from the one that was asked.
	State string `json:"state"`
	Text  string `json:"text"`
}

func readVersions(folder string) *versions {
	v := &versions{asked: map[string]version{}}
	if folder == "" {
		return v
	}
	v.file = filepath.Join(folder, "interpreters.json")
	if text, err := os.ReadFile(v.file); err != nil || json.Unmarshal(text, &v.stored) != nil {
		v.stored = nil
	}
	return v
}

// of is the version of a program, and empty if it says none; then it is asked again the next time.
func (v *versions) of(ctx context.Context, program string) string {
	state := stateOf(program)
	for _, known := range []map[string]version{v.asked, v.stored} {
		if k, ok := known[program]; ok && state != "" && k.State == state {
			v.asked[program] = k
			return k.Text
		}
	}
	text := VersionOf(ctx, program)
	if text != "" && state != "" {
		v.asked[program] = version{state, text}
	}
	return text
}

// write keeps what was asked this time and forgets programs that are not there any more. The file is replaced as a whole.
func (v *versions) write() {
	if v.file == "" || maps.Equal(v.asked, v.stored) {
		return
	}
	text, err := json.Marshal(v.asked)
	if err != nil {
		return
	}
	f, err := os.CreateTemp(filepath.Dir(v.file), "interpreters-*")
	if err != nil {
		return // no folder, or a full disk: asked again the next time
	}
	_, err = f.Write(text)
	if closed := f.Close(); err != nil || closed != nil || os.Rename(f.Name(), v.file) != nil {
		os.Remove(f.Name())
	}
}

// stateOf changes whenever a file is written, replaced or renamed: the time of its last change of any kind is the kernel's own.
func stateOf(program string) string {
	info, err := os.Stat(program)
	if err != nil {
		return ""
	}
	s, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return ""
	}
	return fmt.Sprintf("%d:%d:%d:%d.%09d", s.Dev, s.Ino, s.Size, s.Ctim.Sec, s.Ctim.Nsec)
}
