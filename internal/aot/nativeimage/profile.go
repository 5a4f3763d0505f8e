package nativeimage

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/cloudjit/cloudjit/internal/aot"
	"github.com/cloudjit/cloudjit/internal/aot/keep"
	"github.com/cloudjit/cloudjit/internal/ladder"
	"github.com/cloudjit/cloudjit/internal/launch"
	"github.com/cloudjit/cloudjit/internal/profile"
	"github.com/cloudjit/cloudjit/internal/seal"
)

// Makes implements aot.Choosy: binaries that take profiles need a builder that can do it, and so do those that are made with them,
// unless our inliner does it.
func (b *Builder) Makes(rung *ladder.Rung) bool {
	switch rung.Options {
	case ladder.OptionsInstrumented:
		return b.opts.Profiles
	case ladder.OptionsProfiled:
		return b.opts.Profiles || b.inlines(rung.Options)
	}
	return true
}

// inlines reports whether binaries of a level are made with what HotSpot's compiler found out.
func (b *Builder) inlines(level string) bool {
	return level == ladder.OptionsProfiled && b.opts.Inlines && !b.opts.Profiles && b.opts.Image != ""
}

// inliner is our part of the builder that inlines what HotSpot's compiler did (java/image); it is there where it is patched.
const inliner = "com.oracle.svm.hosted.code.CloudJitInliner"

// inlining are the options of a binary that is made with a profile of HotSpot's. Our part of the builder (java/image, CloudJitOps)
// changes the compiler's instructions.
func inlining(file string) []string {
	return []string{"--features=" + inliner, "-J-Ddev.cloudjit.profile=" + file, "-J--add-opens=jdk.graal.compiler/jdk.graal.compiler.lir.amd64=" + builderModule}
}

// optimized reports whether a level has the options of the optimized one. A profile fits code that was compiled in the same way.
func optimized(level string) bool {
	return level == levelOptimized || level == ladder.OptionsInstrumented || level == ladder.OptionsProfiled
}

// pgo are the options of a builder that itself takes profiles.
func (i *image) pgo() []string {
	switch {
	case i.level == ladder.OptionsInstrumented:
		return []string{"--pgo-instrument"}
	case i.level == ladder.OptionsProfiled && !i.inlines:
		return []string{"--pgo=" + strings.Join(i.profiles, ",")}
	}
	return nil
}

// hashProfiles is what a key says of the profiles that a binary is made with; empty where it is made with none.
func hashProfiles(req *aot.Request) (string, error) {
	if req.Rung.Options != ladder.OptionsProfiled {
		return "", nil
	}
	if len(req.Recording.Also) == 0 {
		return "", &aot.Error{Class: aot.ClassMetadata, Reason: "there is no profile to build with"}
	}
	h := sha256.New()
	for _, file := range req.Recording.Also {
		sum, err := seal.Sum(file)
		if err != nil {
			return "", &aot.Error{Class: aot.ClassMetadata, Reason: "a profile cannot be read", Err: err}
		}
		fmt.Fprintln(h, sum)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// profiles lays a build's profiles out where its tools see them, each checked once more: they may have been kept for long.
// Those of HotSpot become one.
func (j *job) profiles() ([]string, error) {
	if j.req.Rung.Options != ladder.OptionsProfiled {
		return nil, nil
	}
	if j.b.inlines(j.req.Rung.Options) {
		file, err := j.mergeProfiles()
		return []string{file}, err
	}
	dir := filepath.Join(j.scratch.Dir, "profiles")
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, fmt.Errorf("make scratch folder: %w", err)
	}
	var out []string
	for i, file := range j.req.Recording.Also {
		to := filepath.Join(dir, strconv.Itoa(i)+".iprof")
		if err := keep.Copy(file, to); err != nil {
			return nil, fmt.Errorf("lay out a profile: %w", err)
		}
		if err := CheckProfile(to); err != nil {
			return nil, &aot.Error{Class: aot.ClassMetadata, Reason: "a profile is of no use: " + err.Error(), Err: err}
		}
		out = append(out, to)
	}
	return out, nil
}

// mergeProfiles makes one profile of those of HotSpot.
func (j *job) mergeProfiles() (string, error) {
	all := profile.Profile{}
	for _, file := range j.req.Recording.Also {
		p, err := readProfile(file)
		if err == nil {
			err = all.Merge(p)
		}
		if err != nil {
			return "", &aot.Error{Class: aot.ClassMetadata, Reason: "a profile is of no use: " + err.Error(), Err: err}
		}
	}
	var b bytes.Buffer
	if err := all.Write(&b); err != nil {
		return "", err
	}
	file := filepath.Join(j.scratch.Dir, "profile")
	if err := os.WriteFile(file, b.Bytes(), 0o644); err != nil {
		return "", fmt.Errorf("lay out a profile: %w", err)
	}
	fmt.Fprintf(j.log, "cloudjit: %d profiles of HotSpot's, %d methods, %d of them hot\n", len(j.req.Recording.Also), len(all), all.Hot())
	return file, nil
}

func readProfile(file string) (profile.Profile, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return profile.Read(f)
}

// blames reports whether a build with profiles failed by them, as far as can be told: others have been built from the same
// code and metadata, and what failed is neither memory nor the machine's.
func blames(level string, class aot.Class, log string) bool {
	return level == ladder.OptionsProfiled && (class == aot.ClassUser || class == aot.ClassTool && !ofMachine.MatchString(log))
}

var ofMachine = regexp.MustCompile(`No space left on device|Disk quota exceeded|Read-only file system|collect2: error|cannot find -l|Linker command exited|ld returned`)

// MaxProfile is the largest profile that is looked at, in bytes.
const MaxProfile = launch.ProfileMiB << 20

// maxProfileDepth is how deep a profile may be nested; a real one has five levels.
const maxProfileDepth = 64

// CheckProfile says why a file is no profile that a builder could read: neither one of a binary, nor one of HotSpot's. A function
// can write it: of a binary's only what it is made of is looked at, in little memory, and what its numbers say is the builder's
// matter, which runs in a sandbox.
func CheckProfile(file string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return errors.New("it is no plain file")
	}
	if info.Size() > MaxProfile {
		return fmt.Errorf("it has %.1f MB, want %.1f MB at most", float64(info.Size())/1e6, float64(MaxProfile)/1e6)
	}
	return checkProfile(f)
}

// profileVersion is that of the formats that are known to be read
// (https://www.graalvm.org/jdk25/reference-manual/native-image/optimizations-and-performance/PGO/iprof-file-format).
var profileVersion = regexp.MustCompile(`^1\.\d{1,4}\.\d{1,4}$`)

func checkProfile(r io.Reader) error {
	in := bufio.NewReader(io.LimitReader(r, MaxProfile+1))
	if begin, _ := in.Peek(len(profile.Magic)); string(begin) == profile.Magic {
		_, err := profile.Read(in)
		return err
	}
	d := json.NewDecoder(in)
	d.UseNumber()
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return errors.New("it is no JSON object")
	}
	seen := map[string]bool{}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return notJSON(err)
		}
		name, _ := key.(string) // decoders give nothing else here
		if seen[name] {
			return fmt.Errorf("it has %q twice", shorten(name))
		}
		if len(seen) >= maxProfileFields {
			return fmt.Errorf("it has more than %d fields", maxProfileFields)
		}
		seen[name] = true
		first, err := d.Token()
		if err != nil {
			return notJSON(err)
		}
		switch name {
		case "version":
			if v, ok := first.(string); !ok || !profileVersion.MatchString(v) {
				return fmt.Errorf("its version is %q, want 1.x", shorten(fmt.Sprint(first)))
			}
		case "types", "methods":
			if first != json.Delim('[') {
				return fmt.Errorf("its %s are no list", name)
			}
			if name == "methods" && !d.More() {
				return errors.New("it names no method")
			}
		}
		if err := skip(d, first); err != nil {
			return err
		}
	}
	if _, err := d.Token(); err != nil {
		return notJSON(err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something follows the profile")
	}
	for _, name := range []string{"version", "types", "methods"} {
		if !seen[name] {
			return fmt.Errorf("it has no %s", name)
		}
	}
	return nil
}

// maxProfileFields bounds the fields at the top; a real one has a dozen.
const maxProfileFields = 64

// skip reads the rest of a value that begins with a token.
func skip(d *json.Decoder, first json.Token) error {
	depth := 0
	for t := first; ; {
		switch t {
		case json.Delim('{'), json.Delim('['):
			if depth++; depth > maxProfileDepth {
				return fmt.Errorf("it is nested deeper than %d", maxProfileDepth)
			}
		case json.Delim('}'), json.Delim(']'):
			depth--
		}
		if depth == 0 {
			return nil
		}
		var err error
		if t, err = d.Token(); err != nil {
			return notJSON(err)
		}
	}
}

func notJSON(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("it ends in the middle")
	}
	return fmt.Errorf("it is no JSON: %s", shorten(err.Error()))
}
