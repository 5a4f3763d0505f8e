package jar

import (
	"bufio"
	"bytes"
	"regexp"
	"slices"
	"strings"
)

// manifest holds the main attributes of META-INF/MANIFEST.MF by their lower-case names.
type manifest map[string]string

// parseManifest reads the main section (JAR specification); broken lines are left out.
func parseManifest(b []byte) manifest {
	m := manifest{}
	sc := bufio.NewScanner(bytes.NewReader(b))
	sc.Buffer(nil, largestSmallFile)
	last := ""
	for sc.Scan() {
		line := strings.TrimSuffix(sc.Text(), "\r")
		if line == "" {
			break // end of the main section
		}
		if rest, ok := strings.CutPrefix(line, " "); ok {
			if last != "" {
				m[last] += rest
			}
			continue
		}
		key, value, ok := strings.Cut(line, ":")
		if !ok {
			last = ""
			continue
		}
		last = strings.ToLower(strings.TrimSpace(key))
		m[last] = strings.TrimPrefix(value, " ")
	}
	return m
}

func (m manifest) get(key string) string { return strings.TrimSpace(m[strings.ToLower(key)]) }

// modulePackage is MODULE/PACKAGE. What does not look like one is left out: it becomes a part of an
// option on a command line.
var modulePackage = regexp.MustCompile(`^[A-Za-z_][\w.]*/[A-Za-z_][\w.]*$`)

// packages is a list as Add-Opens and Add-Exports have it, each once.
func (m manifest) packages(key string) []string {
	var out []string
	for _, p := range strings.Fields(m.get(key)) {
		if modulePackage.MatchString(p) && !slices.Contains(out, p) {
			out = append(out, p)
		}
	}
	return out
}

// modules fills what the manifest of an executable JAR asks of the module system (JAR specification).
func (i *Info) modules(m manifest) {
	i.Opens, i.Exports = m.packages("Add-Opens"), m.packages("Add-Exports")
	i.NativeAccess = m.get("Enable-Native-Access") == "ALL-UNNAMED"
}

// parseProperties reads the few keys of a java.util.Properties file that Maven writes; it does
// not know escapes or continued lines, which Maven's do not have.
func parseProperties(b []byte) map[string]string {
	m := map[string]string{}
	for line := range strings.SplitSeq(string(b), "\n") {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' || line[0] == '!' {
			continue
		}
		if key, value, ok := strings.Cut(line, "="); ok {
			m[strings.TrimSpace(key)] = strings.TrimSpace(value)
		}
	}
	return m
}
