package process

import (
	"os/exec"
	"strings"
	"testing"
)

// TestStandins: what CRIU is linked with is there, and the linker has nothing to say about it.
func TestStandins(t *testing.T) {
	c, err := findCRIU(installedCRIU(t))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := writeStandins(dir); err != nil {
		t.Fatal(err)
	}
	argv := c.argv(c.dir, dir)
	out, err := exec.Command(argv[0], append(argv[1:], "--version")...).CombinedOutput()
	if err != nil || !strings.HasPrefix(string(out), "Version: ") {
		t.Errorf("CRIU says %q, %v", out, err)
	}
	list, err := exec.Command(argv[0], append([]string{"--list"}, argv[1:]...)...).Output()
	if err != nil || strings.Contains(string(list), "libtasn1") || strings.Count(string(list), dir) != len(standins) {
		t.Errorf("it is linked with %s, %v", list, err)
	}
}
