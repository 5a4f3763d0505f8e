package report

import (
	"bytes"
	"fmt"
	"html"
	"math"
	"strconv"
)

// Bars is one or more panels of grouped bars beside each other, with one legend for all.
type Bars struct {
	Title string
	// Series name the bars of a group; a series has the same colour everywhere.
	Series []string
	Panels []Panel
	// SameScale gives all panels the value axis that suits them together.
	SameScale bool
}

// Panel is groups of bars over one value axis.
type Panel struct {
	Title string
	// Groups name the places on the axis.
	Groups []string
	// Bars by group and series.
	Bars [][]Bar
	// Log draws the value axis logarithmically.
	Log bool
	// Format labels values; nil: three significant digits.
	Format func(float64) string
}

// Bar is a value with the least and the greatest that it was found at.
type Bar struct {
	Value, Low, High float64
	// Missing, if not empty, stands in the place of the bar: why there is none.
	Missing string
}

// canvas writes the little SVG that bars need.
type canvas struct{ bytes.Buffer }

func (c *canvas) open(w, h int) {
	fmt.Fprintf(c, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" font-family="sans-serif" font-size="12">`, w, h, w, h)
	fmt.Fprintf(c, `<rect width="%d" height="%d" fill="#fff"/>`, w, h)
}

func (c *canvas) text(x, y float64, attributes, text string) {
	fmt.Fprintf(c, `<text x="%.1f" y="%.1f" %s>%s</text>`, x, y, attributes, html.EscapeString(text))
}

func (c *canvas) line(x1, y1, x2, y2 float64, attributes string) {
	fmt.Fprintf(c, `<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" %s/>`, x1, y1, x2, y2, attributes)
}

func (c *canvas) rect(x, y, w, h float64, fill, title string) {
	fmt.Fprintf(c, `<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" fill="%s"><title>%s</title></rect>`, x, y, w, h, fill, html.EscapeString(title))
}

// legend draws the names in rows that fit between left and right, and returns the height.
func (c *canvas) legend(left, right, y float64, names []string) float64 {
	x, rows := left, 1
	for i, name := range names {
		w := 22 + textWidth(name, 12) + 14
		if x+w > right && x > left {
			x, rows = left, rows+1
		}
		row := y + float64(rows-1)*18
		c.rect(x, row-10, 14, 12, fill(i), name)
		c.text(x+19, row, `fill="#333"`, name)
		x += w
	}
	return float64(rows) * 18
}

// fill is the colour of the i-th series; past the palette's end it begins again, paler.
func fill(i int) string {
	p := palette[i%len(palette)]
	pale := func(v uint8) int { return int(v) + (255-int(v))*min(i/len(palette), 2)*2/5 }
	return fmt.Sprintf("#%02x%02x%02x", pale(p.R), pale(p.G), pale(p.B))
}

// textWidth is about how wide a text is drawn.
func textWidth(s string, size float64) float64 { return float64(len([]rune(s))) * size * 0.56 }

// SVG draws the panels.
func (b *Bars) SVG() []byte {
	const (
		wide, plot                = 900, 210.0
		left, right, gap, axis    = 10.0, 10.0, 18.0, 46.0
		titleHeight, labelsHeight = 30.0, 30.0
	)
	var c canvas
	legend := new(canvas).legend(left, wide-right, 0, b.Series)
	top := titleHeight + legend + 30
	c.open(wide, int(top+plot+labelsHeight+8))
	c.text(left, 20, `font-weight="bold" font-size="15"`, b.Title)
	c.legend(left+2, wide-right, titleHeight+14, b.Series)
	width := (wide - left - right - gap*float64(len(b.Panels)-1)) / float64(max(1, len(b.Panels)))
	for i := range b.Panels {
		x := left + float64(i)*(width+gap)
		of := b.Panels[i : i+1]
		if b.SameScale {
			of = b.Panels
		}
		b.Panels[i].draw(&c, scaleOf(of), x+axis, top, width-axis, plot, b.Series)
	}
	c.WriteString("</svg>\n")
	return c.Bytes()
}

func (p *Panel) draw(c *canvas, scale scale, x, y, w, h float64, series []string) {
	format := p.Format
	if format == nil {
		format = significant
	}
	c.text(x-40, y-14, `fill="#333" font-weight="bold"`, p.Title)
	for _, t := range scale.ticks {
		ty := y + h - scale.at(t)*h
		c.line(x, ty, x+w, ty, `stroke="#e2e2e2"`)
		c.text(x-5, ty+4, `text-anchor="end" fill="#666" font-size="11"`, amount(t))
	}
	group := w / float64(max(1, len(p.Groups)))
	bar := math.Min(group*0.84/float64(max(1, len(series))), 60)
	for g, name := range p.Groups {
		middle := x + group*(float64(g)+0.5)
		first := middle - bar*float64(len(series))/2
		for s := range series {
			if s < len(p.Bars[g]) {
				p.Bars[g][s].draw(c, scale, first+bar*float64(s), y, bar, h, fill(s), name+", "+series[s], format)
			}
		}
		c.text(middle, y+h+18, `text-anchor="middle" fill="#111"`, name)
	}
	c.line(x, y+h, x+w, y+h, `stroke="#555"`)
}

func (b *Bar) draw(c *canvas, s scale, x, y, w, h float64, fill, name string, format func(float64) string) {
	middle := x + w/2
	if b.Missing != "" || math.IsNaN(b.Value) {
		fmt.Fprintf(c, `<text transform="translate(%.1f %.1f) rotate(-90)" fill="#999" font-size="11">%s</text>`, middle+4, y+h-6, html.EscapeString(b.Missing))
		return
	}
	at := func(v float64) float64 { return y + h - s.at(v)*h }
	top := at(b.Value)
	c.rect(x+1, top, math.Max(w-2, 1), y+h-top, fill, fmt.Sprintf("%s: %s (%s to %s)", name, format(b.Value), format(b.Low), format(b.High)))
	if b.High > b.Low {
		const ink = `stroke="#222" stroke-width="1.2"`
		c.line(middle, at(b.High), middle, at(b.Low), ink)
		c.line(middle-4, at(b.High), middle+4, at(b.High), ink)
		c.line(middle-4, at(b.Low), middle+4, at(b.Low), ink)
	}
	label, size := format(b.Value), 11.0
	for size > 7 && textWidth(label, size) > w+6 {
		size -= 0.5
	}
	c.text(middle, at(math.Max(b.Value, b.High))-4, fmt.Sprintf(`text-anchor="middle" fill="#111" font-size="%.1f"`, size), label)
}

// scale maps values to 0..1 of an axis.
type scale struct {
	lo, hi float64
	log    bool
	ticks  []float64
}

func (s scale) at(v float64) float64 {
	if s.log {
		v = math.Log10(math.Max(v, s.lo))
		return (v - math.Log10(s.lo)) / (math.Log10(s.hi) - math.Log10(s.lo))
	}
	return math.Min(math.Max((v-s.lo)/(s.hi-s.lo), 0), 1)
}

// scaleOf is the axis that suits all panels; whether it is logarithmic, the first says.
func scaleOf(panels []Panel) scale {
	low, high := math.Inf(1), 0.0
	for i := range panels {
		for _, g := range panels[i].Bars {
			for _, b := range g {
				if b.Missing == "" && b.Value > 0 {
					low, high = math.Min(low, math.Min(b.Value, positive(b.Low, b.Value))), math.Max(high, math.Max(b.Value, b.High))
				}
			}
		}
	}
	if high == 0 {
		low, high = 1, 10
	}
	if panels[0].Log {
		// A bar must be seen, so the axis begins below the least.
		s := scale{lo: math.Pow10(int(math.Floor(math.Log10(low * 0.9)))), log: true}
		s.hi = high * math.Pow(high/s.lo, 0.12)
		for t := s.lo; t <= s.hi; t *= 10 {
			s.ticks = append(s.ticks, t)
		}
		return s
	}
	return linear(high * 1.12)
}

func positive(v, otherwise float64) float64 {
	if v > 0 {
		return v
	}
	return otherwise
}

// linear is an axis from 0 with four to eight round ticks.
func linear(high float64) scale {
	step := math.Pow10(int(math.Floor(math.Log10(high / 4))))
	for _, by := range []float64{1, 2, 5, 10} {
		if high/(step*by) <= 8 {
			step *= by
			break
		}
	}
	s := scale{hi: high}
	for i := 0; float64(i)*step <= high; i++ {
		s.ticks = append(s.ticks, float64(i)*step)
	}
	return s
}

func significant(v float64) string { return strconv.FormatFloat(v, 'g', 3, 64) }

// Stack is horizontal bars, each put together from the same parts.
type Stack struct {
	Title string
	// X says what is counted.
	X     string
	Parts []string
	Rows  []StackRow
}

// StackRow is one bar.
type StackRow struct {
	Name string
	// Values by part; nil: there is none, and Missing says why.
	Values  []float64
	Missing string
}

// SVG draws the bars, each with its sum.
func (s *Stack) SVG() []byte {
	const (
		wide, row, tall = 900, 44.0, 26.0
		right           = 80.0
	)
	left, high := 60.0, 0.0
	for _, r := range s.Rows {
		left = math.Max(left, textWidth(r.Name, 12)+20)
		high = math.Max(high, sum(r.Values))
	}
	if high == 0 {
		high = 1
	}
	axis := linear(high)
	legend := new(canvas).legend(10, wide-10, 0, s.Parts)
	top := 34 + legend + 14
	bottom := top + row*float64(len(s.Rows))
	var c canvas
	c.open(wide, int(bottom+44))
	c.text(10, 20, `font-weight="bold" font-size="15"`, s.Title)
	c.legend(12, wide-10, 44, s.Parts)
	x := func(v float64) float64 { return left + axis.at(v)*(wide-left-right) }
	for _, t := range axis.ticks {
		c.line(x(t), top, x(t), bottom, `stroke="#e2e2e2"`)
		c.text(x(t), bottom+16, `text-anchor="middle" fill="#666" font-size="11"`, amount(t))
	}
	c.text((left+wide-right)/2, bottom+34, `text-anchor="middle" fill="#333"`, s.X)
	for i, r := range s.Rows {
		y := top + row*float64(i) + (row-tall)/2
		c.text(left-8, y+tall/2+4, `text-anchor="end" fill="#111"`, r.Name)
		if r.Values == nil {
			c.text(left+6, y+tall/2+4, `fill="#999"`, r.Missing)
			continue
		}
		at := 0.0
		for k, v := range r.Values {
			if v > 0 {
				c.rect(x(at), y, x(at+v)-x(at), tall, fill(k), r.Name+", "+s.Parts[k]+": "+strconv.FormatFloat(v, 'f', -1, 64))
				at += v
			}
		}
		c.text(x(at)+6, y+tall/2+4, `fill="#111" font-weight="bold"`, strconv.FormatFloat(at, 'f', -1, 64))
	}
	c.line(left, top, left, bottom, `stroke="#555"`)
	c.WriteString("</svg>\n")
	return c.Bytes()
}

func sum(values []float64) float64 {
	total := 0.0
	for _, v := range values {
		total += v
	}
	return total
}
