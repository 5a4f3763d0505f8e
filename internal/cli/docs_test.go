package cli

import (
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestDocumentedCommands: every command line of the README and the docs is one that the parser takes.
func TestDocumentedCommands(t *testing.T) {
	pages, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	whole := regexp.MustCompile(`(?m)^(?:    )?(?:\$ )?(?:bin/)?cloudjit ((?:[^#\n']|'[^']*')*?) *&? *(?:#.*)?$`)
	inline := regexp.MustCompile("`(?:bin/)?cloudjit ([a-z][^`\n]*)`")
	word := regexp.MustCompile(`'[^']*'|"[^"]*"|[^\s'"]+`)
	found := 0
	for _, page := range append(pages, "../../README.md") {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, match := range append(whole.FindAllSubmatch(text, -1), inline.FindAllSubmatch(text, -1)...) {
			var args []string
			for _, w := range word.FindAllString(string(match[1]), -1) {
				if w == "|" { // what follows is another command
					break
				}
				args = append(args, strings.Trim(w, `'"`))
			}
			var cmds commands
			_, err := newParser(&cmds, io.Discard, io.Discard).Parse(args)
			// A sentence may name a command without its arguments, and a reader's files are not here.
			if err != nil && !strings.HasPrefix(err.Error(), `expected `) && !strings.HasPrefix(err.Error(), "missing flags") && !strings.HasSuffix(err.Error(), "no such file or directory") {
				t.Errorf("%s: cloudjit %s: %v", filepath.Base(page), match[1], err)
			}
			found++
		}
	}
	if found < 20 {
		t.Errorf("only %d command lines were found", found)
	}
}
