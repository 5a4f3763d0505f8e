package jar

import (
	"bufio"
	"bytes"
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
