package process

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// systemDirs are the host's folders of programs and libraries, as they are on this machine.
func systemDirs() []systemDir {
	var out []systemDir
	for _, name := range []string{"usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32"} {
		st, err := os.Lstat("/" + name)
		if err != nil {
			continue
		}
		d := systemDir{name: name}
		if st.Mode()&fs.ModeSymlink != 0 {
			if d.link, err = os.Readlink("/" + name); err != nil {
				continue
			}
		} else if !st.IsDir() {
			continue
		}
		out = append(out, d)
	}
	return out
}

// etcWritten are the files of /etc that say the same in every sandbox.
var etcWritten = map[string]string{
	"passwd":        "root:x:0:0:root:/:/usr/sbin/nologin\nsandbox:x:1000:1000:sandbox:/tmp:/bin/sh\nnobody:x:65534:65534:nobody:/:/usr/sbin/nologin\n",
	"group":         "root:x:0:\nsandbox:x:1000:\nnogroup:x:65534:\n",
	"hosts":         "127.0.0.1 localhost " + hostname + "\n::1 localhost\n",
	"hostname":      hostname + "\n",
	"nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\nservices: files\nprotocols: files\n",
	"resolv.conf":   "",
}

// etcCopied are those that programs need from the host: linker cache, time zone, certificates,
// the parts of Debian's JDKs that lie there.
var etcCopied = []string{
	"ld.so.cache", "ld.so.conf", "ld.so.conf.d", "localtime", "timezone", "mime.types", "protocols", "services",
	"ssl", "ca-certificates", "ca-certificates.conf", "pki", "crypto-policies", "alternatives", "fonts", "java*", "jvm*",
	"os-release", "debian_version",
}

// makeEtc fills dir with what is shown as /etc.
func makeEtc(dir string, withDNS bool) error {
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("make /etc of sandboxes: %w", err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("make /etc of sandboxes: %w", err)
	}
	for name, text := range etcWritten {
		if name == "resolv.conf" && withDNS {
			b, err := os.ReadFile("/etc/resolv.conf")
			if err == nil {
				text = string(b)
			}
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			return fmt.Errorf("make /etc of sandboxes: %w", err)
		}
	}
	for _, pattern := range etcCopied {
		names, err := filepath.Glob(filepath.Join("/etc", pattern))
		if err != nil {
			return fmt.Errorf("make /etc of sandboxes: %w", err)
		}
		for _, name := range names {
			if err := copyPublic(name, filepath.Join(dir, filepath.Base(name))); err != nil {
				return fmt.Errorf("make /etc of sandboxes: %w", err)
			}
		}
	}
	return nil
}

// copyPublic copies a file or a tree, but only what everybody may read.
func copyPublic(from, to string) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			if errors.Is(err, fs.ErrPermission) {
				return nil
			}
			return err
		}
		target := to + strings.TrimPrefix(path, from)
		info, err := d.Info()
		if err != nil {
			return err
		}
		switch mode := info.Mode(); {
		case mode.IsDir():
			if mode.Perm()&0o005 != 0o005 {
				return fs.SkipDir
			}
			return os.MkdirAll(target, 0o755)
		case mode&fs.ModeSymlink != 0:
			link, err := os.Readlink(path)
			if err != nil {
				return err
			}
			return os.Symlink(link, target)
		case mode.IsRegular() && mode.Perm()&0o004 != 0:
			return copyFile(path, target)
		}
		return nil
	})
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, in); err != nil {
		_ = out.Close()
		return err
	}
	return out.Close()
}

// mountPoints are those of mountinfo (proc_pid_mountinfo(5)), sorted.
func mountPoints(mountinfo string) []string {
	unescape := strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)
	var points []string
	for line := range strings.Lines(mountinfo) {
		if f := strings.Fields(line); len(f) > 4 {
			points = append(points, unescape.Replace(f[4]))
		}
	}
	slices.Sort(points)
	return slices.Compact(points)
}

// within are the mount points below a folder, without those below each other. points are sorted.
func within(points []string, dir string) []string {
	var top []string
	for _, p := range points {
		if n := len(top); strings.HasPrefix(p, strings.TrimSuffix(dir, "/")+"/") && (n == 0 || !strings.HasPrefix(p, top[n-1]+"/")) {
			top = append(top, p)
		}
	}
	return top
}
