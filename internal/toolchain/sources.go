package toolchain

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/ulikunitz/xz"

	"github.com/cloudjit/cloudjit/internal/untar"
)

// library is a native library of the JDK that images link statically.
type library struct{ name, module string }

// jdkLibraries are the static libraries that the builder insists on.
var jdkLibraries = []library{
	{"java", "java.base"},
	{"net", "java.base"},
	{"nio", "java.base"},
	{"zip", "java.base"},
	{"extnet", "jdk.net"},
	{"management", "java.management"},
	{"management_ext", "jdk.management"},
	{"prefs", "java.prefs"},
	{"attach", "jdk.attach"},
	{"jaas", "jdk.security.auth"},
	{"management_agent", "jdk.management.agent"},
}

// systems are the parts of the JDK's sources that make up the one for Linux. Of files with
// the same name in a library, the first system's is taken.
var systems = []string{"linux", "unix", "share"}

// jniDeclares finds Java sources for which javac writes a JNI header.
var jniDeclares = regexp.MustCompile(`\bnative\s|@Native\b`)

// extractSources unpacks what is needed of the JDK's source release into dir: C sources and
// headers of the native libraries, and Java sources that declare native methods or constants.
func extractSources(ctx context.Context, archive, dir string) error {
	f, err := os.Open(archive)
	if err != nil {
		return err
	}
	defer f.Close()
	plain, done, err := decompress(ctx, f)
	if err != nil {
		return fmt.Errorf("decompress %s: %w", filepath.Base(archive), err)
	}
	defer done()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	inSource := false
	for e, err := range untar.Entries(plain, untar.Limits{Bytes: 1 << 30, Entries: 1_000_000}) {
		if err != nil {
			return fmt.Errorf("read %s: %w", filepath.Base(archive), err)
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		_, name, _ := strings.Cut(e.Name, "/")
		if !strings.HasPrefix(name, "src/") {
			if inSource {
				break // the rest of the archive, most of it, is tests
			}
			continue
		}
		inSource = true
		if !e.IsFile() || !wanted(name) {
			continue
		}
		data, err := e.Read()
		if err != nil {
			return fmt.Errorf("read %s: %w", filepath.Base(archive), err)
		}
		if strings.HasSuffix(name, ".java") && !jniDeclares.Match(data) {
			continue
		}
		if err := errors.Join(root.MkdirAll(path.Dir(name), 0o755), root.WriteFile(name, data, 0o644)); err != nil {
			return err
		}
	}
	if !inSource {
		return fmt.Errorf("%s holds no sources of a JDK", filepath.Base(archive))
	}
	return nil
}

// wanted reports whether a file of the source release, named from its top, is of use.
func wanted(name string) bool {
	if strings.HasPrefix(name, "src/hotspot/share/include/") || strings.HasPrefix(name, "src/hotspot/os/posix/include/") {
		return true
	}
	parts := strings.SplitN(name, "/", 6) // src/<module>/<system>/{classes,native}/<library>/<rest>
	if len(parts) < 6 || !slices.Contains(systems, parts[2]) || strings.Contains(name, "/zlib/") {
		return false
	}
	for _, l := range jdkLibraries {
		if parts[1] != l.module {
			continue
		}
		switch parts[3] {
		case "classes":
			return strings.HasSuffix(name, ".java")
		case "native":
			if parts[4] == "include" || parts[4] == "lib"+l.name {
				return true
			}
		}
	}
	return false
}

// decompress reads xz with the xz command where there is one, which is five times as fast as
// the library. done ends the command.
func decompress(ctx context.Context, f *os.File) (r io.Reader, done func(), err error) {
	command, err := exec.LookPath("xz")
	if err != nil {
		r, err = xz.NewReader(bufio.NewReaderSize(f, 1<<20))
		return r, func() {}, err
	}
	ctx, cancel := context.WithCancel(ctx)
	cmd := exec.CommandContext(ctx, command, "-dc", "-T2")
	cmd.Stdin = f
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		cancel()
		return nil, nil, err
	}
	return out, func() {
		cancel() // the reader has what it needs: a broken archive has shown as a read error
		_ = cmd.Wait()
	}, nil
}

// unit is one C file of a library.
type unit struct {
	library string
	source  string
	// include are the folders that its library's files find headers in.
	include []string
}

// libraryUnits lists what to compile for a library out of the sources in dir.
func libraryUnits(dir string, l library) ([]unit, error) {
	include := []string{}
	seen := map[string]bool{}
	var units []unit
	for _, system := range systems {
		root := filepath.Join(dir, "src", l.module, system, "native", "lib"+l.name)
		err := filepath.WalkDir(root, func(p string, d os.DirEntry, err error) error {
			if errors.Is(err, os.ErrNotExist) {
				return nil
			}
			if err != nil {
				return err
			}
			if d.IsDir() {
				include = append(include, p)
				return nil
			}
			if path.Ext(p) == ".c" && !seen[d.Name()] {
				seen[d.Name()] = true
				units = append(units, unit{library: l.name, source: p})
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	if len(units) == 0 {
		return nil, fmt.Errorf("no sources of lib%s in the JDK's source release", l.name)
	}
	for i := range units {
		units[i].include = include
	}
	return units, nil
}

// sharedIncludes are folders of headers that all libraries use.
func sharedIncludes(dir string) []string {
	include := []string{filepath.Join(dir, "src/hotspot/share/include"), filepath.Join(dir, "src/hotspot/os/posix/include")}
	for _, system := range systems {
		base := filepath.Join(dir, "src/java.base", system, "native")
		for _, sub := range []string{"include", "libjava", "libnet", "libnio", "libnio/ch"} {
			include = append(include, filepath.Join(base, sub))
		}
	}
	return include
}
