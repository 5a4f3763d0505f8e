package jar

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// Symbolic links are kept, as in AWS Lambda: node_modules/.bin has them, and shared libraries that have two names. One that leads
// out of the folder is refused, since what the server reads of an unpacked archive it reads as itself.

// mostHops is how many links in a row are followed: Linux follows 40.
const mostHops = 40

// checkLinks refuses links that lead out of a folder of the archive, whatever they go through. One that leads to nothing is no harm.
func (a *archive) checkLinks(prefix string) error {
	for _, l := range a.links {
		target, err := a.follow(strings.TrimSuffix(prefix, "/"), l)
		if err != nil {
			return &Error{
				Reason: fmt.Sprintf("the symbolic link %q %s", l.name, err),
				Hint:   "links may lead to files of the archive itself, by a relative path",
			}
		}
		l.target = target
	}
	return nil
}

// follow walks a link's path as the kernel does, and returns what the link says.
func (a *archive) follow(root string, l *entry) (string, error) {
	text, err := l.read()
	if err != nil {
		return "", errors.New("is damaged")
	}
	target := string(text)
	if target == "" || len(target) > longestName || strings.ContainsAny(target, "\x00\\") {
		return "", errors.New("says no path")
	}
	at := path.Dir(l.name)
	rest := target
	for hops := 1; rest != ""; {
		if strings.HasPrefix(rest, "/") {
			return "", fmt.Errorf("leads to %.100q, an absolute path", target)
		}
		var part string
		part, rest, _ = strings.Cut(rest, "/")
		rest = strings.TrimLeft(rest, "/")
		if part == "" || part == "." {
			continue
		}
		if part == ".." {
			if at == "." || at == root {
				return "", fmt.Errorf("leads out of the archive: %.100q", target)
			}
			at = path.Dir(at)
			continue
		}
		next := path.Join(at, part)
		if a.linked[next] == nil {
			at = next
			continue
		}
		if hops++; hops > mostHops {
			return "", errors.New("leads to itself, or through too many others")
		}
		more, err := a.linked[next].read()
		if err != nil {
			return "", errors.New("goes through one that is damaged")
		}
		if len(more)+len(rest) > longestName {
			return "", errors.New("leads through paths that are too long")
		}
		if strings.HasPrefix(string(more), "/") {
			return "", fmt.Errorf("goes through %q, which leads to an absolute path", next)
		}
		rest = string(more) + "/" + rest
	}
	return target, nil
}

// extractLinks makes the links, when all files are there, so that none is written through one.
func (a *archive) extractLinks(prefix, dir string) error {
	if len(a.links) == 0 {
		return nil
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return fmt.Errorf("extract archive: %w", err)
	}
	defer root.Close()
	for _, l := range a.links {
		name := strings.TrimPrefix(l.name, prefix)
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, filepath.FromSlash(name))), 0o755); err != nil {
			return fmt.Errorf("extract %q: %w", l.name, err)
		}
		if err := root.Symlink(l.target, name); err != nil {
			return fmt.Errorf("extract %q: %w", l.name, err)
		}
	}
	// The system's own view of where they lead.
	for _, l := range a.links {
		if _, err := root.Stat(strings.TrimPrefix(l.name, prefix)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return refuse("the symbolic link %q leads nowhere in it: %v", l.name, errors.Unwrap(err))
		}
	}
	return nil
}
