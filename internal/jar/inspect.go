package jar

import (
	"archive/zip"
	"cmp"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/cloudjit/cloudjit/internal/jar/classfile"
	"github.com/cloudjit/cloudjit/internal/language"
)

// Inspect reads the whole archive and says what is in it. An archive that it accepts can be
// extracted. Errors that are the sender's are of type *Error.
func Inspect(file string, limits Limits) (*Info, error) {
	lim := limits.orDefault()
	a, err := open(file, lim)
	if err != nil {
		return nil, err
	}
	defer a.Close()
	return a.inspect(lim)
}

func (a *archive) inspect(lim Limits) (*Info, error) {
	info := &Info{Unzipped: a.unzipped, Framework: FrameworkPlain}
	main := parseManifest(a.small("META-INF/MANIFEST.MF"))
	a.layout(info, main)
	if len(a.links) > 0 && (info.Layout == LayoutJar || info.Layout == LayoutSpringBoot) {
		return nil, &Error{Reason: fmt.Sprintf("%q is a symbolic link, and a JAR has none", a.links[0].name), Hint: "put the file itself into the archive"}
	}
	if err := a.checkLinks(info.prefix); err != nil {
		return nil, err
	}

	s := &scan{info: info, own: map[string]*classfile.Class{}, resolved: map[string]*verdict{}}
	for _, e := range a.files {
		if err := a.look(s, e, lim); err != nil {
			return nil, err
		}
	}
	for _, n := range s.nested {
		s.sampleVersions(n)
		s.libraries(n)
	}
	s.findHandlers()
	a.findMain(info, s, main, lim)
	a.findFramework(info, s)
	a.classPath(info)
	info.Entries = a.entries
	sortLibraries(info)
	return info, nil
}

// look reads one file to its end, and what it says of the application.
func (a *archive) look(s *scan, e *entry, lim Limits) error {
	name := strings.TrimPrefix(e.name, s.info.prefix)
	switch {
	case strings.HasSuffix(name, ".class"):
		b, err := e.read()
		if err != nil {
			return err
		}
		s.class(strings.TrimPrefix(name, "BOOT-INF/classes/"), b)
	case strings.HasSuffix(name, ".jar") && a.onClassPath(s.info, name):
		n, err := a.openNested(e, lim)
		if err != nil {
			return err
		}
		s.nested = append(s.nested, n)
		if e.Method == zip.Store { // a deflated one was read whole
			return e.verify()
		}
	case strings.HasPrefix(name, "META-INF/maven/") && path.Base(name) == "pom.properties":
		b, err := e.read()
		if err != nil {
			return err
		}
		s.pom(b)
	default:
		return e.verify()
	}
	return nil
}

func (a *archive) small(name string) []byte {
	e := a.names[name]
	if e == nil || e.UncompressedSize64 > largestSmallFile {
		return nil
	}
	return readSmall(e.File)
}

// layout finds the arrangement from names alone.
func (a *archive) layout(info *Info, m manifest) {
	info.prefix = a.topFolder()
	has := func(name string) bool { return a.names[info.prefix+name] != nil }
	switch {
	case has("bootstrap"):
		info.Layout = LayoutProvided
	case m.get("Spring-Boot-Classes") != "" || a.hasUnder("BOOT-INF/"):
		info.Layout = LayoutSpringBoot
	case has("quarkus-run.jar"):
		info.Layout = LayoutQuarkus
	case a.names["META-INF/MANIFEST.MF"] != nil && !a.hasJars("lib/"):
		info.Layout = LayoutJar
	case a.hasClassesAtRoot() && !a.hasJars("lib/") && !a.hasJars(""):
		info.Layout = LayoutJar // a ZIP of nothing but classes is a JAR without a manifest
	case !a.hasClassesAtRoot() && !a.hasJars("lib/") && !a.hasJars("") && a.hasSource():
		info.Layout, info.prefix = LayoutFiles, ""
	default:
		info.Layout = LayoutZip
	}
}

// topFolder returns "name/" if everything is in one folder that looks like an application's
// (what zip -r and Gradle's distZip make), else "".
func (a *archive) topFolder() string {
	first, _, ok := strings.Cut(a.files[0].name, "/")
	if !ok || first == "META-INF" || first == "BOOT-INF" || first == "lib" {
		return ""
	}
	prefix := first + "/"
	for _, e := range slices.Concat(a.files, a.links) {
		if !strings.HasPrefix(e.name, prefix) {
			return ""
		}
	}
	if a.names[prefix+"quarkus-run.jar"] != nil || a.names[prefix+"bootstrap"] != nil || a.hasJars(prefix+"lib/") || a.hasJars(prefix) {
		return prefix
	}
	return ""
}

func (a *archive) hasUnder(prefix string) bool {
	return slices.ContainsFunc(a.files, func(e *entry) bool { return strings.HasPrefix(e.name, prefix) })
}

// hasJars reports JARs directly in a folder.
func (a *archive) hasJars(folder string) bool {
	return slices.ContainsFunc(a.files, func(e *entry) bool {
		rest, ok := strings.CutPrefix(e.name, folder)
		return ok && strings.HasSuffix(rest, ".jar") && !strings.Contains(rest, "/")
	})
}

func (a *archive) hasClassesAtRoot() bool {
	return slices.ContainsFunc(a.files, func(e *entry) bool { return strings.HasSuffix(e.name, ".class") })
}

// hasSource reports source files of a language that an interpreter runs.
func (a *archive) hasSource() bool {
	return slices.ContainsFunc(a.files, func(e *entry) bool {
		return slices.ContainsFunc(language.All(), func(l language.Language) bool { return slices.Contains(l.Extensions, path.Ext(e.name)) })
	})
}

// onClassPath reports whether a JAR, named without the prefix, is loaded by the application.
func (a *archive) onClassPath(info *Info, name string) bool {
	dir := path.Dir(name)
	switch info.Layout {
	case LayoutSpringBoot:
		return dir == "BOOT-INF/lib"
	case LayoutQuarkus:
		return dir == "app" || dir == "quarkus" || dir == "lib/boot" || dir == "lib/main"
	case LayoutZip:
		return dir == "." || dir == "lib"
	default:
		return false
	}
}

// classPath fills Paths: names relative to the folder that Extract makes.
func (a *archive) classPath(info *Info) {
	jars := func(folders ...string) (out []string) {
		for _, folder := range folders {
			var found []string
			for _, e := range a.files {
				name := strings.TrimPrefix(e.name, info.prefix)
				if path.Dir(name) == folder && strings.HasSuffix(name, ".jar") {
					found = append(found, name)
				}
			}
			slices.Sort(found)
			out = append(out, found...)
		}
		return out
	}
	switch info.Layout {
	case LayoutJar:
		info.Paths = []string{appJar}
	case LayoutSpringBoot:
		info.Paths = append([]string{appJar}, a.springLibraries(jars("BOOT-INF/lib"))...)
	case LayoutQuarkus:
		// Transformed classes go before those they replace (quarkus-run.jar loads them so).
		all := jars("quarkus", "app", "lib/main", "lib/boot")
		slices.SortStableFunc(all, func(x, y string) int {
			return cmp.Compare(b2i(path.Base(y) == "transformed-bytecode.jar"), b2i(path.Base(x) == "transformed-bytecode.jar"))
		})
		info.Paths = all
	case LayoutZip:
		info.Paths = append([]string{"."}, jars(".", "lib")...)
	}
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// springLibraries orders the libraries as BOOT-INF/classpath.idx says (Spring Boot's loader
// does), names outside it last.
func (a *archive) springLibraries(found []string) []string {
	rank := map[string]int{}
	for line := range strings.SplitSeq(string(a.small("BOOT-INF/classpath.idx")), "\n") {
		if name, ok := strings.CutPrefix(strings.TrimSpace(line), "- "); ok {
			rank[strings.Trim(name, `"`)] = len(rank) + 1
		}
	}
	order := func(name string) int {
		if r := rank[name]; r > 0 {
			return r
		}
		return len(rank) + 1
	}
	slices.SortStableFunc(found, func(x, y string) int { return cmp.Compare(order(x), order(y)) })
	for i, name := range found {
		found[i] = "lib/" + path.Base(name)
	}
	return found
}

func sortLibraries(info *Info) {
	slices.SortFunc(info.Libraries, func(x, y Library) int {
		return cmp.Or(cmp.Compare(x.Artifact, y.Artifact), cmp.Compare(x.Group, y.Group), cmp.Compare(x.Version, y.Version))
	})
	info.Libraries = slices.Compact(info.Libraries)
}
