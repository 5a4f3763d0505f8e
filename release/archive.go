package main

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path"
	"strings"
	"time"
)

// archive is everything below one folder, for machines without a package manager that we serve: what /usr holds, and the
// configuration as an example.
func (r *release) archive(files []file, arch string) error {
	top := "cloudjit-" + r.version + "-linux-" + arch
	out, err := os.Create(r.path("cloudjit_%s_linux_%s.tar.gz", r.version, arch))
	if err != nil {
		return err
	}
	z, err := gzip.NewWriterLevel(out, gzip.DefaultCompression)
	if err != nil {
		return err
	}
	err = writeTar(z, files, r.time, func(p string) string {
		p = strings.TrimPrefix(p, "/usr")
		if p == "/share/doc/cloudjit/copyright" {
			p = "/LICENSE"
		}
		return path.Join(top, p)
	})
	return errors.Join(err, z.Close(), out.Close())
}

// writeTar writes files and the folders that they are in, all of them root's and of one time.
func writeTar(w io.Writer, files []file, at time.Time, name func(path string) string) error {
	t := tar.NewWriter(w)
	made := map[string]bool{".": true, "/": true}
	var folder func(dir string) error
	folder = func(dir string) error {
		if made[dir] {
			return nil
		}
		made[dir] = true
		if err := folder(path.Dir(dir)); err != nil {
			return err
		}
		return t.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: dir + "/", Mode: 0o755, ModTime: at, Format: tar.FormatPAX})
	}
	for _, f := range files {
		to := name(f.path)
		if err := folder(path.Dir(to)); err != nil {
			return err
		}
		content, size, err := f.open()
		if err != nil {
			return err
		}
		err = t.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: to, Mode: f.mode, Size: size, ModTime: at, Format: tar.FormatPAX})
		if err == nil {
			_, err = io.Copy(t, content)
		}
		if err := errors.Join(err, content.Close()); err != nil {
			return err
		}
	}
	return t.Close()
}
