package server

import (
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/cloudjit/cloudjit/internal/launch"
	"github.com/cloudjit/cloudjit/internal/toolchain"
)

// findJDKs lists the JDKs that can run functions, newest first.
func findJDKs(cache string) []launch.JDK {
	var jdks []launch.JDK
	for _, j := range toolchain.FindJDKs(toolchain.FindOptions{Cache: cache}) {
		jdks = append(jdks, launch.JDK{Home: j.Home, Version: j.Feature(), Agent: j.Agent(), Links: linksOutside(j.Home)})
	}
	return jdks
}

// linksOutside lists the folders that links in the top levels of a JDK lead to and that are
// not in it: Debian keeps its configuration in /etc/java-N-openjdk.
func linksOutside(home string) []string {
	var folders []string
	for _, pattern := range []string{"*", "conf/*", "conf/*/*", "lib/*", "lib/*/*"} {
		found, _ := filepath.Glob(filepath.Join(home, pattern)) // the pattern is well formed
		for _, path := range found {
			if info, err := os.Lstat(path); err != nil || info.Mode()&os.ModeSymlink == 0 {
				continue
			}
			target, err := filepath.EvalSymlinks(path)
			if err != nil || strings.HasPrefix(target, home+"/") {
				continue
			}
			if info, err := os.Stat(target); err == nil && !info.IsDir() {
				target = filepath.Dir(target)
			}
			if strings.HasPrefix(target, "/etc/") && !slices.Contains(folders, target) {
				folders = append(folders, target)
			}
		}
	}
	return folders
}
