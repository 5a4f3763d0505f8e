package cli

import (
	"io"
	"os/exec"
	"strings"
	"testing"
)

// TestManPages: each command that the help shows has a page, with all of its flags, that man reads without a warning.
func TestManPages(t *testing.T) {
	man, err := exec.LookPath("man")
	if err != nil {
		t.Fatal("the tests need man: ", err)
	}
	var cmds commands
	app := newParser(&cmds, io.Discard, io.Discard).Model
	pages := manPages(app)
	for _, n := range shown(app.Node) {
		if _, ok := pages["cloudjit-"+n.Name+".1"]; !ok {
			t.Errorf("no page of %s", n.Name)
		}
		for _, leaf := range leavesOf(n) {
			for _, f := range leaf.Flags {
				if !f.Hidden && !strings.Contains(pages["cloudjit-"+n.Name+".1"], roff("--"+f.Name)) {
					t.Errorf("cloudjit-%s(1) does not have --%s", n.Name, f.Name)
				}
			}
		}
	}
	for name, page := range pages {
		cmd := exec.Command(man, "-l", "--warnings", "-")
		cmd.Env = []string{"PATH=/usr/bin:/bin", "LC_ALL=C.UTF-8", "MANWIDTH=100"}
		cmd.Stdin = strings.NewReader(page)
		var warnings strings.Builder
		cmd.Stderr = &warnings
		if out, err := cmd.Output(); err != nil || warnings.Len() > 0 || !strings.Contains(string(out), "SYNOPSIS") {
			t.Errorf("%s: %v: %s", name, err, warnings.String())
		}
	}
	if _, ok := pages["cloudjit-man.1"]; ok {
		t.Error("a hidden command has a page")
	}
}

func TestRoffIsHarmless(t *testing.T) {
	for text, want := range map[string]string{`a\b`: `a\eb`, ".so /etc/passwd": `\&.so /etc/passwd`, "'x": `\&'x`, "--json": `\-\-json`} {
		if got := roff(text); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}
