package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// manCommand writes the manual pages of the packages. They are the help in another form, so they cannot differ from it.
type manCommand struct {
	Dir string `arg:"" type:"path" help:"Folder for the pages. There is one for cloudjit and one for each command."`
}

func (cmd *manCommand) Run(c *Context, app *kong.Kong) error {
	if err := os.MkdirAll(cmd.Dir, 0o755); err != nil {
		return err
	}
	for name, page := range manPages(app.Model) {
		if err := os.WriteFile(filepath.Join(cmd.Dir, name), []byte(page), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// manPages are all pages, by the name of their file.
func manPages(app *kong.Application) map[string]string {
	pages := map[string]string{}
	top := manPage{title: "cloudjit"}
	top.begin(summaryOf(app.Help))
	top.section("SYNOPSIS")
	top.line(`\fBcloudjit\fR \fICOMMAND\fR [\fIOPTION\fR]...`)
	top.section("DESCRIPTION")
	body, exits, _ := strings.Cut(app.Help, "Exit codes: ")
	top.text(body)
	top.section("COMMANDS")
	for _, n := range shown(app.Node) {
		top.entry(`\fBcloudjit\-`+roff(n.Name)+`\fR(1)`, n.Help)
		page := manPage{title: "cloudjit-" + n.Name}
		page.command(app, n)
		pages[page.title+".1"] = page.b.String()
	}
	top.options("GLOBAL OPTIONS", app.Flags)
	top.section("EXIT STATUS")
	for code := range strings.SplitSeq(strings.TrimSuffix(strings.TrimSpace(exits), "."), "; ") {
		number, meaning, _ := strings.Cut(code, " ")
		top.entry(`\fB`+roff(number)+`\fR`, strings.ToUpper(meaning[:1])+meaning[1:]+".")
	}
	top.section("SEE ALSO")
	top.line("https://github.com/cloudjit/cloudjit")
	pages["cloudjit.1"] = top.b.String()
	return pages
}

// shown are the commands below one that the help shows.
func shown(n *kong.Node) []*kong.Node {
	return slices.DeleteFunc(slices.Clone(n.Children), func(c *kong.Node) bool { return c.Hidden || c.Type != kong.CommandNode })
}

// leavesOf are the commands that do something at and below one.
func leavesOf(n *kong.Node) []*kong.Node {
	below := shown(n)
	if len(below) == 0 {
		return []*kong.Node{n}
	}
	var leaves []*kong.Node
	for _, c := range below {
		leaves = append(leaves, leavesOf(c)...)
	}
	return leaves
}

func summaryOf(help string) string {
	first, _, _ := strings.Cut(strings.TrimSpace(help), "\n\n")
	first, _, _ = strings.Cut(strings.Join(strings.Fields(first), " "), ", and ")
	return strings.TrimSuffix(strings.TrimPrefix(first, "CloudJIT "), ".")
}

// manPage is a page in the making, in the language of man(7).
type manPage struct {
	title string
	b     strings.Builder
}

func (p *manPage) begin(summary string) {
	fmt.Fprintf(&p.b, ".TH %q 1 \"\" \"CloudJIT\" \"CloudJIT\"\n", strings.ToUpper(p.title))
	p.section("NAME")
	p.line(roff(p.title) + ` \- ` + roff(strings.ToLower(summary[:1])+summary[1:]))
}

func (p *manPage) section(name string) { fmt.Fprintf(&p.b, ".SH %s\n", name) }

// line is text that holds requests already, on a line of its own.
func (p *manPage) line(s string) { fmt.Fprintln(&p.b, s) }

// text is prose in paragraphs.
func (p *manPage) text(s string) {
	for i, paragraph := range strings.Split(strings.TrimSpace(s), "\n\n") {
		if i > 0 {
			p.line(".PP")
		}
		p.line(roff(strings.Join(strings.Fields(paragraph), " ")))
	}
}

func (p *manPage) entry(term, meaning string) {
	p.line(".TP")
	p.line(term)
	p.text(meaning)
}

// command is the page of a command, with those below it.
func (p *manPage) command(app *kong.Application, n *kong.Node) {
	p.begin(strings.TrimSuffix(n.Help, "."))
	p.section("SYNOPSIS")
	leaves := leavesOf(n)
	for i, leaf := range leaves {
		if i > 0 {
			p.line(".br")
		}
		p.line(`\fBcloudjit ` + roff(pathOf(leaf)) + `\fR ` + roff(operands(leaf)))
	}
	p.section("DESCRIPTION")
	p.text(n.Help + "\n\n" + n.Detail)
	if leaves[0] == n {
		p.arguments(n)
		p.options("OPTIONS", n.Flags)
	} else {
		p.options("OPTIONS", n.Flags)
		for _, leaf := range leaves {
			p.section(strings.ToUpper(roff(pathOf(leaf))))
			p.text(leaf.Help + "\n\n" + leaf.Detail)
			p.argumentEntries(leaf)
			p.optionEntries(leaf.Flags)
		}
	}
	p.options("GLOBAL OPTIONS", app.Flags)
	p.section("SEE ALSO")
	p.line(`\fBcloudjit\fR(1)`)
}

// pathOf is the words of a command after the program's name.
func pathOf(n *kong.Node) string {
	words := n.Name
	for up := n.Parent; up != nil && up.Type == kong.CommandNode; up = up.Parent {
		words = up.Name + " " + words
	}
	return words
}

func operands(n *kong.Node) string {
	var words []string
	for _, a := range n.Positional {
		words = append(words, a.Summary())
	}
	return strings.Join(append(words, "[OPTION]..."), " ")
}

func (p *manPage) arguments(n *kong.Node) {
	if len(n.Positional) > 0 {
		p.section("ARGUMENTS")
		p.argumentEntries(n)
	}
}

func (p *manPage) argumentEntries(n *kong.Node) {
	for _, a := range n.Positional {
		p.entry(`\fI`+roff(a.Name)+`\fR`, a.Help)
	}
}

func (p *manPage) options(title string, flags []*kong.Flag) {
	if slices.ContainsFunc(flags, func(f *kong.Flag) bool { return !f.Hidden }) {
		p.section(title)
		p.optionEntries(flags)
	}
}

func (p *manPage) optionEntries(flags []*kong.Flag) {
	for _, f := range flags {
		if f.Hidden {
			continue
		}
		term := `\fB` + roff(f.String()) + `\fR`
		if name, value, ok := strings.Cut(f.String(), "="); ok {
			term = `\fB` + roff(name) + `\fR=\fI` + roff(value) + `\fR`
		}
		meaning := f.Help
		if f.HasDefault && f.Default != "" && !f.IsBool() {
			meaning += " Default: " + f.Default + "."
		}
		if len(f.Envs) > 0 {
			meaning += " Environment variable: " + strings.Join(f.Envs, ", ") + "."
		}
		p.entry(term, meaning)
	}
}

// roff makes text harmless: a backslash, a hyphen that is one, and a line that would be a request.
func roff(s string) string {
	s = strings.NewReplacer(`\`, `\e`, "-", `\-`, "’", "'").Replace(s)
	if strings.HasPrefix(s, ".") || strings.HasPrefix(s, "'") {
		s = `\&` + s
	}
	return s
}
