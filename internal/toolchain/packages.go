package toolchain

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// packages gets the published files that a builder is assembled from.
type packages struct {
	download *downloader
	dir      string // where they are kept
	maven    string // base URL; "": as Maven is set up here
	debian   string // base URL above debian/ and debian-security/; "": as apt is set up here
	home     string // of the user
	progress ProgressFunc
}

// jars returns the builder's JARs, in the order of builderJars. Maven is asked where it is
// installed, since it knows the user's mirrors, proxies and credentials; what it has already in
// its local repository is taken from there.
func (p *packages) jars(ctx context.Context) ([]string, error) {
	asked := p.maven != ""
	var paths []string
	for i, jar := range builderJars {
		path := filepath.Join(p.dir, jar.name())
		p.progress.report("get "+jar.name(), int64(i), int64(len(builderJars)))
		for !matches(path, jar) && !p.fromLocalRepository(jar, path) {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			if !asked {
				asked = true
				if p.askMaven(ctx) == nil {
					continue
				}
			}
			base := p.maven
			if base == "" {
				base = mavenMirror(filepath.Join(p.home, ".m2", "settings.xml"))
			}
			if err := p.download.fetch(ctx, strings.TrimSuffix(base, "/")+"/"+jar.path, path, jar.sha256); err != nil {
				return nil, err
			}
		}
		paths = append(paths, path)
	}
	return paths, nil
}

// matches reports whether a file is the pinned one.
func matches(path string, p pin) bool {
	if size(path) != p.size {
		return false
	}
	sum, err := fileSHA256(path)
	return err == nil && sum == p.sha256
}

func (p *packages) fromLocalRepository(jar pin, path string) bool {
	local := filepath.Join(p.home, ".m2", "repository", filepath.FromSlash(jar.path))
	return matches(local, jar) && copyFile(local, path) == nil && matches(path, jar)
}

// askMaven lets mvn bring the JARs into its local repository.
func (p *packages) askMaven(ctx context.Context) error {
	mvn, err := exec.LookPath("mvn")
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp(p.dir, "maven-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	var pom strings.Builder
	pom.WriteString("<project xmlns=\"http://maven.apache.org/POM/4.0.0\"><modelVersion>4.0.0</modelVersion>" +
		"<groupId>builder</groupId><artifactId>builder</artifactId><version>1</version><packaging>pom</packaging><dependencies>")
	for _, artifact := range []string{"svm", "svm-configure"} {
		fmt.Fprintf(&pom, "<dependency><groupId>org.graalvm.nativeimage</groupId><artifactId>%s</artifactId><version>%s</version></dependency>",
			artifact, builderVersion)
	}
	pom.WriteString("</dependencies></project>")
	file := filepath.Join(dir, "pom.xml")
	if err := os.WriteFile(file, []byte(pom.String()), 0o644); err != nil {
		return err
	}
	p.progress.report("get the builder with Maven", 0, 0)
	return run(ctx, mvn, "-q", "-B", "-f", file, "dependency:resolve")
}

// source returns an archive of the JDK's sources.
func (p *packages) source(ctx context.Context) (string, error) {
	for _, s := range jdkSources {
		if path := filepath.Join(p.dir, s.name()); matches(path, s) {
			return path, nil
		}
	}
	var failures []error
	for _, s := range jdkSources {
		path := filepath.Join(p.dir, s.name())
		err := p.fetchDebian(ctx, s, path)
		if err == nil {
			return path, nil
		}
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		failures = append(failures, err)
	}
	return "", fmt.Errorf("get the sources of the JDK: %w", errors.Join(failures...))
}

// aptHelper downloads single files with all that apt is told about proxies and mirrors.
const aptHelper = "/usr/lib/apt/apt-helper"

func (p *packages) fetchDebian(ctx context.Context, s pin, path string) error {
	archive, rest, _ := strings.Cut(s.path, "/")
	base := p.debian
	if base == "" {
		base = debianMirror
		if mirror := aptMirror("/etc/apt", archive); mirror != "" {
			base = mirror
		}
	}
	url := strings.TrimSuffix(base, "/") + "/" + archive + "/" + strings.ReplaceAll(rest, "+", "%2b")
	if _, err := os.Stat(aptHelper); err == nil && p.debian == "" {
		p.progress.report("download "+s.name(), 0, s.size)
		if err := run(ctx, aptHelper, "-o", "APT::Sandbox::User=root", "download-file", url, path, "SHA256:"+s.sha256); err == nil && matches(path, s) {
			return nil
		}
	}
	return p.download.fetch(ctx, url, path, s.sha256)
}

// aptMirror returns the base URL that the machine's apt has for an archive ("debian",
// "debian-security"), without the archive's name; "" if there is none.
func aptMirror(dir, archive string) string {
	files, _ := filepath.Glob(filepath.Join(dir, "sources.list.d", "*")) // the pattern is valid
	for _, file := range append([]string{filepath.Join(dir, "sources.list")}, files...) {
		data, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		if base := mirrorIn(string(data), archive); base != "" {
			return base
		}
	}
	return ""
}

// mirrorIn finds the archive's URL in either format of apt's sources.
func mirrorIn(sources, archive string) string {
	for line := range strings.Lines(sources) {
		line, _, _ = strings.Cut(line, "#")
		fields := strings.Fields(line)
		if len(fields) == 0 || (fields[0] != "deb" && fields[0] != "deb-src" && fields[0] != "URIs:") {
			continue
		}
		for _, f := range fields[1:] {
			if !strings.HasPrefix(f, "http://") && !strings.HasPrefix(f, "https://") {
				continue
			}
			if base, ok := strings.CutSuffix(strings.TrimSuffix(f, "/"), "/"+archive); ok {
				return base
			}
		}
	}
	return ""
}

// mavenMirror returns the mirror of Maven Central in a settings.xml, or Central itself.
func mavenMirror(settings string) string {
	f, err := os.Open(settings)
	if err != nil {
		return mavenCentral
	}
	defer f.Close()
	return mirrorOfCentral(f)
}

func mirrorOfCentral(settings io.Reader) string {
	var s struct {
		Mirrors []struct {
			Of  string `xml:"mirrorOf"`
			URL string `xml:"url"`
		} `xml:"mirrors>mirror"`
	}
	if xml.NewDecoder(io.LimitReader(settings, 1<<20)).Decode(&s) != nil {
		return mavenCentral
	}
	for _, m := range s.Mirrors {
		for of := range strings.SplitSeq(m.Of, ",") {
			switch strings.TrimSpace(of) {
			case "*", "central", "external:*":
				if url := strings.TrimSpace(m.URL); strings.HasPrefix(url, "http") {
					return url
				}
			}
		}
	}
	return mavenCentral
}

// copyFile copies by way of a temporary name, so that to is whole or not there.
func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.CreateTemp(filepath.Dir(to), ".copy-*")
	if err != nil {
		return err
	}
	defer os.Remove(out.Name())
	if _, err := io.Copy(out, in); err != nil {
		out.Close()
		return err
	}
	if err := errors.Join(out.Chmod(0o644), out.Close()); err != nil {
		return err
	}
	return os.Rename(out.Name(), to)
}
