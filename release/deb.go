package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/goreleaser/nfpm/v2"
	"github.com/goreleaser/nfpm/v2/deb"
	contents "github.com/goreleaser/nfpm/v2/files"
)

// debVersion sorts what comes before a release below it, as Debian does.
func debVersion(version string) string {
	version = strings.Replace(version, "-", "~", 1)
	return strings.ReplaceAll(version, "-", ".")
}

func (r *release) deb(list []file, arch string) error {
	work, err := os.MkdirTemp("", "cloudjit-deb-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	info := &nfpm.Info{
		Name: "cloudjit", Arch: arch, Platform: "linux", Version: debVersion(r.version), VersionSchema: "none",
		Section: "net", Priority: "optional", Maintainer: "CloudJIT <cloudjit@users.noreply.github.com>", License: "Apache-2.0",
		Homepage: "https://github.com/cloudjit/cloudjit", MTime: r.time, DisableGlobbing: true,
		Description: "functions as a service that start sooner by themselves\n" +
			"CloudJIT runs ordinary Java functions behind AWS Lambda's API. While they serve, it makes\n" +
			"AOT caches, snapshots and native binaries of them, so that they start sooner.",
	}
	// A JDK can also come by "cloudjit toolchain install jdk"; a compiler and the headers link native binaries.
	info.Depends = []string{"passwd"}
	info.Recommends = []string{"openjdk-25-jdk-headless | temurin-25-jdk", "gcc", "libc6-dev", "zlib1g-dev", "ca-certificates"}
	info.Deb.Compression = "zstd" // dpkg 1.21.18, which is older than the oldest Debian that has a JDK 25
	scripts := map[string]*string{"postinst": &info.Scripts.PostInstall, "prerm": &info.Scripts.PreRemove, "postrm": &info.Scripts.PostRemove}
	for name, to := range scripts {
		data, err := files.ReadFile("files/" + name)
		if err != nil {
			return err
		}
		*to = filepath.Join(work, name)
		if err := os.WriteFile(*to, data, 0o755); err != nil {
			return err
		}
	}
	for i, f := range list {
		source := f.source
		if source == "" {
			source = filepath.Join(work, fmt.Sprint(i))
			if err := os.WriteFile(source, f.data, 0o644); err != nil {
				return err
			}
		}
		kind := contents.TypeFile
		if f.config {
			kind = contents.TypeConfigNoReplace
		}
		info.Contents = append(info.Contents, &contents.Content{Source: source, Destination: f.path, Type: kind,
			FileInfo: &contents.ContentFileInfo{Mode: os.FileMode(f.mode), MTime: r.time, Owner: "root", Group: "root"}})
	}
	info = nfpm.WithDefaults(info)
	if err := nfpm.PrepareForPackager(info, "deb"); err != nil {
		return err
	}
	out, err := os.Create(r.path("cloudjit_%s_%s.deb", debVersion(r.version), arch))
	if err != nil {
		return err
	}
	return errors.Join(deb.Default.Package(info, out), out.Close())
}
