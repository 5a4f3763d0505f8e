package report

import (
	"bytes"
	"fmt"
	"html"
	"math"
)

// Heatmap is values over two discrete axes, each cell labelled.
type Heatmap struct {
	Title string
	X, Y  string
	// Columns and Rows name the places on the axes.
	Columns, Rows []string
	// Values by row and column; NaN: empty.
	Values [][]float64
	// Format turns a value into a cell's label.
	Format func(float64) string
}

// SVG draws the map, from pale for the least value to dark for the greatest.
func (h *Heatmap) SVG() []byte {
	const cell, tall, left, top = 84, 34, 110, 58
	lo, hi := math.Inf(1), math.Inf(-1)
	for _, r := range h.Values {
		for _, v := range r {
			if !math.IsNaN(v) {
				lo, hi = math.Min(lo, v), math.Max(hi, v)
			}
		}
	}
	w, t := left+cell*len(h.Columns)+20, top+tall*len(h.Rows)+16
	var b bytes.Buffer
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" font-family="sans-serif" font-size="13">`, w, t, w, t)
	fmt.Fprintf(&b, `<rect width="%d" height="%d" fill="#fff"/><text x="8" y="18" font-weight="bold">%s</text>`, w, t, html.EscapeString(h.Title))
	fmt.Fprintf(&b, `<text x="%d" y="36" fill="#555">%s →</text><text x="8" y="%d" fill="#555">%s ↓</text>`, left, html.EscapeString(h.X), top-6, html.EscapeString(h.Y))
	for i, c := range h.Columns {
		fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="middle">%s</text>`, left+cell*i+cell/2, top-6, html.EscapeString(c))
	}
	for j, r := range h.Rows {
		fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="end">%s</text>`, left-8, top+tall*j+22, html.EscapeString(r))
		for i, v := range h.Values[j] {
			if math.IsNaN(v) {
				continue
			}
			share := 0.5
			if hi > lo {
				share = (v - lo) / (hi - lo)
			}
			// From near white to a dark blue.
			red, green, blue := 240-int(share*220), 246-int(share*170), 252-int(share*90)
			ink := "#111"
			if share > 0.6 {
				ink = "#fff"
			}
			fmt.Fprintf(&b, `<rect x="%d" y="%d" width="%d" height="%d" fill="rgb(%d,%d,%d)"/><text x="%d" y="%d" text-anchor="middle" fill="%s">%s</text>`,
				left+cell*i, top+tall*j, cell-2, tall-2, red, green, blue, left+cell*i+cell/2-1, top+tall*j+22, ink, html.EscapeString(h.Format(v)))
		}
	}
	b.WriteString("</svg>")
	return b.Bytes()
}
