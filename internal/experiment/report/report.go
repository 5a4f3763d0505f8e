// Package report turns numbers into pages: plots as SVG, tables, and one self-contained HTML
// file of them. It is shared by simulate, replay and bench, and must not know what was
// measured.
package report

import (
	"fmt"
	"html/template"
	"io"
	"strings"
)

// Page is one HTML file.
type Page struct {
	Title string
	// Lead says in a sentence or two what the page shows.
	Lead     string
	Sections []Section
}

// Section is a heading with what belongs to it, in this order: text, figures, tables.
type Section struct {
	Heading string
	// Text is paragraphs.
	Text    []string
	Figures []Figure
	Tables  []Table
}

// Figure is a picture with its caption.
type Figure struct {
	SVG     []byte
	Caption string
}

// Table has a head and rows of as many cells; cells that begin with a digit or a sign are
// set to the right.
type Table struct {
	Caption string
	Head    []string
	Rows    [][]string
}

// WriteHTML writes the page; nothing in it is loaded from elsewhere.
func (p *Page) WriteHTML(w io.Writer) error {
	if err := page.Execute(w, p); err != nil {
		return fmt.Errorf("write report %q: %w", p.Title, err)
	}
	return nil
}

// WriteText writes the table for a terminal, columns aligned by two spaces.
func (t *Table) WriteText(w io.Writer) error {
	widths := make([]int, len(t.Head))
	rows := append([][]string{t.Head}, t.Rows...)
	for _, r := range rows {
		for i, c := range r {
			widths[i] = max(widths[i], len([]rune(c)))
		}
	}
	var b strings.Builder
	for _, r := range rows {
		for i, c := range r {
			pad := strings.Repeat(" ", widths[i]-len([]rune(c)))
			switch {
			case numeric(c) || i > 0 && &r[0] == &t.Head[0]:
				b.WriteString(pad + c)
			case i == len(r)-1:
				b.WriteString(c)
			default:
				b.WriteString(c + pad)
			}
			if i < len(r)-1 {
				b.WriteString("  ")
			}
		}
		b.WriteByte('\n')
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// WriteMarkdown writes the table, its caption first, for a page of the documentation.
func (t *Table) WriteMarkdown(w io.Writer) error {
	var b strings.Builder
	if t.Caption != "" {
		b.WriteString(t.Caption + "\n\n")
	}
	row := func(cells []string) {
		for _, c := range cells {
			b.WriteString("| " + strings.ReplaceAll(c, "|", "\\|") + " ")
		}
		b.WriteString("|\n")
	}
	row(t.Head)
	b.WriteString("|---" + strings.Repeat("|---:", max(0, len(t.Head)-1)) + "|\n")
	for _, r := range t.Rows {
		row(r)
	}
	b.WriteByte('\n')
	_, err := io.WriteString(w, b.String())
	return err
}

func numeric(s string) bool {
	s = strings.TrimLeft(s, "-+−")
	return s != "" && s[0] >= '0' && s[0] <= '9' || s == "–"
}

var page = template.Must(template.New("page").Funcs(template.FuncMap{
	"numeric": numeric,
	"svg":     func(b []byte) template.HTML { return template.HTML(inline(b)) }, // made by this package
}).Parse(`<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{.Title}}</title>
<style>
body{font:16px/1.5 system-ui,sans-serif;max-width:62rem;margin:2rem auto;padding:0 1rem;color:#1b1b1b;background:#fff}
h1{font-size:1.7rem;margin:0 0 .3rem}h2{font-size:1.25rem;margin:2.2rem 0 .4rem;border-bottom:1px solid #ddd}
.lead{color:#444;margin:.2rem 0 1.2rem}figure{margin:1rem 0}figure svg{width:100%;height:auto}
figcaption,caption{color:#555;font-size:.9rem;text-align:left;padding:.2rem 0}
.wide{overflow-x:auto}table{border-collapse:collapse;font-size:.9rem;margin:.8rem 0}
th,td{padding:.25rem .7rem;border-bottom:1px solid #e4e4e4;text-align:left;vertical-align:top}
th{background:#f5f5f5}.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
</style></head><body>
<h1>{{.Title}}</h1><p class="lead">{{.Lead}}</p>
{{range .Sections}}<h2>{{.Heading}}</h2>
{{range .Text}}<p>{{.}}</p>
{{end}}{{range .Figures}}<figure>{{svg .SVG}}<figcaption>{{.Caption}}</figcaption></figure>
{{end}}{{range .Tables}}<div class="wide"><table>{{if .Caption}}<caption>{{.Caption}}</caption>{{end}}
<thead><tr>{{range $i, $h := .Head}}<th{{if $i}} class="n"{{end}}>{{$h}}</th>{{end}}</tr></thead><tbody>
{{range .Rows}}<tr>{{range .}}<td{{if numeric .}} class="n"{{end}}>{{.}}</td>{{end}}</tr>
{{end}}</tbody></table></div>
{{end}}{{end}}</body></html>
`))

// inline cuts the XML head off, which has no place inside HTML.
func inline(svg []byte) string {
	s := string(svg)
	if i := strings.Index(s, "<svg"); i > 0 {
		s = s[i:]
	}
	return s
}
