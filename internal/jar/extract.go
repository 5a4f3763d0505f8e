package jar

import (
	"archive/zip"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
)

// appJar is the name of the application's own JAR in an extracted folder.
const appJar = "app.jar"

// scratchPattern names the folders that Extract works in, beside the final one.
const scratchPattern = ".extract-*"

// Extract inspects the archive and lays it out in dir, which appears all at once or not at
// all. A dir that exists already is taken as extracted and left alone. Files are 0644 or
// 0755, folders 0755. A killed Extract leaves only scratch, which CleanScratch removes.
func Extract(file, dir string, limits Limits) (*Info, error) {
	lim := limits.orDefault()
	a, err := open(file, lim)
	if err != nil {
		return nil, err
	}
	defer a.Close()
	info, err := a.inspect(lim)
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(dir); err == nil {
		return info, nil
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return nil, fmt.Errorf("extract archive: %w", err)
	}
	tmp, err := os.MkdirTemp(filepath.Dir(dir), scratchPattern)
	if err != nil {
		return nil, fmt.Errorf("extract archive: %w", err)
	}
	defer os.RemoveAll(tmp)
	if err := os.Chmod(tmp, 0o755); err != nil {
		return nil, fmt.Errorf("extract archive: %w", err)
	}
	if err := a.extract(info, tmp); err != nil {
		return nil, err
	}
	if err := os.Rename(tmp, dir); err != nil {
		if _, statErr := os.Stat(dir); statErr == nil {
			return info, nil // another Extract of the same archive was first
		}
		return nil, fmt.Errorf("extract archive: %w", err)
	}
	return info, nil
}

// Unpack is Extract into a folder that exists and is empty; making it appear at once is then
// the caller's matter.
func Unpack(file, dir string, limits Limits) (*Info, error) {
	lim := limits.orDefault()
	a, err := open(file, lim)
	if err != nil {
		return nil, err
	}
	defer a.Close()
	info, err := a.inspect(lim)
	if err != nil {
		return nil, err
	}
	if err := a.extract(info, dir); err != nil {
		return nil, err
	}
	return info, nil
}

// UnpackFiles lays all files of an archive out as they are, whatever it looks like, in a folder that exists and is empty. They
// keep the times of their last change, by which Python knows whether compiled code is that of the source beside it.
func UnpackFiles(file, dir string, limits Limits) error {
	lim := limits.orDefault()
	a, err := open(file, lim)
	if err != nil {
		return err
	}
	defer a.Close()
	if err := a.checkLinks(""); err != nil {
		return err
	}
	return a.extractAll(&Info{Layout: LayoutFiles}, dir)
}

// CleanScratch removes what killed Extracts left beside the folders in parent. Not to be called
// while an Extract into parent runs.
func CleanScratch(parent string) error {
	left, err := filepath.Glob(filepath.Join(parent, scratchPattern))
	if err != nil {
		return fmt.Errorf("clean extraction scratch: %w", err)
	}
	var errs []error
	for _, d := range left {
		errs = append(errs, os.RemoveAll(d))
	}
	return errors.Join(errs...)
}

func (a *archive) extract(info *Info, dir string) error {
	switch info.Layout {
	case LayoutJar:
		if err := a.copyWhole(filepath.Join(dir, appJar)); err != nil {
			return err
		}
		return a.extractNativeLibraries(dir)
	case LayoutSpringBoot:
		return a.extractSpringBoot(dir)
	default:
		return a.extractAll(info, dir)
	}
}

func (a *archive) copyWhole(to string) error {
	if _, err := a.file.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("extract archive: %w", err)
	}
	return write(to, a.file, 0o644)
}

// extractNativeLibraries lays out the shared libraries where System.loadLibrary looks for them: at the root and in lib/.
// Those deeper inside are copied to where they are loaded from by the library that brings them.
func (a *archive) extractNativeLibraries(dir string) error {
	for _, e := range a.files {
		if folder := path.Dir(e.name); folder != "." && folder != "lib" || !nativeLibrary.MatchString(e.name) {
			continue
		}
		if err := e.extract(filepath.Join(dir, filepath.FromSlash(e.name)), 0o755); err != nil {
			return err
		}
	}
	return nil
}

var nativeLibrary = regexp.MustCompile(`\.so(\.\d+)*$`)

func (a *archive) extractAll(info *Info, dir string) error {
	for _, e := range a.files {
		name := strings.TrimPrefix(e.name, info.prefix)
		mode := os.FileMode(0o644)
		if e.Mode()&0o111 != 0 || (info.Layout == LayoutProvided && name == "bootstrap") {
			mode = 0o755
		}
		to := filepath.Join(dir, filepath.FromSlash(name))
		if err := e.extract(to, mode); err != nil {
			return err
		}
		if info.Layout == LayoutFiles && !e.Modified.IsZero() {
			if err := os.Chtimes(to, e.Modified, e.Modified); err != nil {
				return fmt.Errorf("extract %q: %w", e.name, err)
			}
		}
	}
	return a.extractLinks(info.prefix, dir)
}

// extractSpringBoot does what Spring Boot's own "extract" tool does: libraries to lib/, and the
// application's classes with the archive's META-INF to a JAR of their own, so that the JVM
// reads them without Spring's loader. Its entries are copied as they are compressed.
func (a *archive) extractSpringBoot(dir string) error {
	f, err := os.OpenFile(filepath.Join(dir, appJar), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("extract archive: %w", err)
	}
	defer f.Close()
	w := zip.NewWriter(f)
	seen := map[string]bool{}
	add := func(e *entry, name string) error {
		if seen[name] {
			return nil
		}
		seen[name] = true
		// Folders have entries of their own: Spring looks for a package's classes by asking class
		// loaders for the folder.
		if err := addFolders(w, seen, name); err != nil {
			return err
		}
		return copyRaw(w, e, name)
	}
	// The manifest stands first in a JAR; classes win over the outer META-INF.
	if m := a.names["META-INF/MANIFEST.MF"]; m != nil {
		if err := add(m, m.name); err != nil {
			return err
		}
	}
	for _, e := range a.files {
		if name, ok := strings.CutPrefix(e.name, "BOOT-INF/classes/"); ok {
			if err := add(e, name); err != nil {
				return err
			}
		}
		if path.Dir(e.name) == "BOOT-INF/lib" && strings.HasSuffix(e.name, ".jar") {
			if err := e.extract(filepath.Join(dir, "lib", path.Base(e.name)), 0o644); err != nil {
				return err
			}
		}
	}
	for _, e := range a.files {
		if strings.HasPrefix(e.name, "META-INF/") && !isSignature(e.name) && e.name != springLoaderService {
			if err := add(e, e.name); err != nil {
				return err
			}
		}
	}
	if err := w.Close(); err != nil {
		return fmt.Errorf("extract archive: %w", err)
	}
	if err := f.Close(); err != nil {
		return fmt.Errorf("extract archive: %w", err)
	}
	return nil
}

// springLoaderService names a class of Spring's loader, which is not there any more.
const springLoaderService = "META-INF/services/java.nio.file.spi.FileSystemProvider"

// isSignature reports the files of a signed JAR, which no longer fit the rearranged one.
func isSignature(name string) bool {
	if path.Dir(name) != "META-INF" {
		return false
	}
	switch strings.ToUpper(path.Ext(name)) {
	case ".SF", ".RSA", ".DSA", ".EC":
		return true
	}
	return name == "META-INF/INDEX.LIST"
}

// addFolders adds the entries of the folders above name that are not there yet, outer first.
func addFolders(w *zip.Writer, seen map[string]bool, name string) error {
	for i, c := range name {
		if c != '/' || seen[name[:i+1]] {
			continue
		}
		seen[name[:i+1]] = true
		if _, err := w.CreateHeader(&zip.FileHeader{Name: name[:i+1]}); err != nil {
			return fmt.Errorf("extract %q: %w", name, err)
		}
	}
	return nil
}

func copyRaw(w *zip.Writer, e *entry, name string) error {
	h := e.FileHeader
	h.Name = name
	r, err := e.OpenRaw()
	if err != nil {
		return &Error{Reason: fmt.Sprintf("%q is damaged", e.name), Err: err}
	}
	out, err := w.CreateRaw(&h)
	if err == nil {
		_, err = io.Copy(out, r)
	}
	if err != nil {
		return fmt.Errorf("extract %q: %w", e.name, err)
	}
	return nil
}

// extract writes the file. The sum of the declared sizes is within the limits, and the ZIP
// reader ends with an error at contents that are longer than declared.
func (e *entry) extract(to string, mode os.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return fmt.Errorf("extract %q: %w", e.name, err)
	}
	r, err := e.Open()
	if err != nil {
		return &Error{Reason: fmt.Sprintf("%q is damaged", e.name), Err: err}
	}
	defer r.Close()
	return write(to, io.LimitReader(r, int64(e.UncompressedSize64)+1), mode)
}

func write(to string, r io.Reader, mode os.FileMode) error {
	f, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if err != nil {
		return fmt.Errorf("extract archive: %w", err)
	}
	defer f.Close()
	_, err = io.Copy(f, r)
	if err == nil {
		err = f.Chmod(mode) // whatever the umask
	}
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		return fmt.Errorf("extract %s: %w", filepath.Base(to), err)
	}
	return nil
}
