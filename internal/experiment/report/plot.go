package report

import (
	"bytes"
	"fmt"
	"image/color"
	"io"
	"math"
	"strconv"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
	"gonum.org/v1/plot/vg/vgsvg"
)

// Plot is lines over a common axis.
type Plot struct {
	Title, X, Y string
	Lines       []Line
	// Step is the distance of two values on the axis, in its unit.
	Step float64
	// Log draws the value axis logarithmically; zeros are left out.
	Log bool
}

// Line is one curve: its value at 0, Step, 2*Step...
type Line struct {
	Name   string
	Values []float64
	// Dashed sets a line apart that is the background of the others.
	Dashed bool
	// Color is a place in the palette, from 1, for lines that belong together; 0: the line's own.
	Color int
}

// palette is that of Okabe and Ito, which colour-blind readers can tell apart.
var palette = []color.RGBA{
	{0, 114, 178, 255}, {213, 94, 0, 255}, {0, 158, 115, 255}, {204, 121, 167, 255}, {230, 159, 0, 255}, {86, 180, 233, 255}, {0, 0, 0, 255},
}

// maxPoints is how many points a curve is drawn with; more are averaged.
const maxPoints = 900

const width, height = 9 * vg.Inch, 3.1 * vg.Inch

// SVG draws the plot.
func (p *Plot) SVG() ([]byte, error) {
	c := vgsvg.New(width, height)
	var b bytes.Buffer
	if err := p.draw(draw.New(c)); err != nil {
		return nil, err
	}
	_, err := c.WriteTo(&b)
	return b.Bytes(), err
}

// WritePNG draws the plot as a picture of points.
func (p *Plot) WritePNG(w io.Writer) error {
	c := vgimg.PngCanvas{Canvas: vgimg.New(width, height)}
	if err := p.draw(draw.New(c)); err != nil {
		return err
	}
	_, err := c.WriteTo(w)
	return err
}

func (p *Plot) draw(c draw.Canvas) error {
	out := plot.New()
	out.Title.Text, out.X.Label.Text, out.Y.Label.Text = p.Title, p.X, p.Y
	for _, f := range []*font.Font{
		&out.Title.TextStyle.Font, &out.X.Label.TextStyle.Font, &out.Y.Label.TextStyle.Font,
		&out.X.Tick.Label.Font, &out.Y.Tick.Label.Font, &out.Legend.TextStyle.Font,
	} {
		f.Variant, f.Size = "Sans", 10
	}
	out.Title.TextStyle.Font.Size = 12
	out.Title.Padding = 6
	out.Legend.Top, out.Legend.Left, out.Legend.XOffs, out.Legend.YOffs = true, true, 8, -2
	out.Legend.Padding = 1.5
	out.X.Tick.Marker, out.Y.Tick.Marker = wholes{}, amounts{}
	grid := plotter.NewGrid()
	grid.Vertical.Color = color.Gray{235}
	grid.Horizontal.Color = color.Gray{225}
	out.Add(grid)
	peak := 0.0
	for i, l := range p.Lines {
		points := p.points(l)
		if len(points) == 0 {
			continue
		}
		for _, pt := range points {
			peak = math.Max(peak, pt.Y)
		}
		curve, err := plotter.NewLine(points)
		if err != nil {
			return fmt.Errorf("plot %q: %s: %w", p.Title, l.Name, err)
		}
		if l.Color > 0 {
			i = l.Color - 1
		}
		curve.Color, curve.Width = palette[i%len(palette)], 1.3
		if l.Dashed {
			curve.Dashes = []vg.Length{4, 3}
		}
		out.Add(curve)
		out.Legend.Add(l.Name, curve)
	}
	if p.Log && peak > 0 {
		out.Y.Scale, out.Y.Tick.Marker = plot.LogScale{}, plot.LogTicks{Prec: -1}
		out.Y.Max = math.Max(out.Y.Max, out.Y.Min*10)
	} else {
		// Room for the legend above the curves.
		out.Y.Min, out.Y.Max = 0, math.Max(peak*(1.08+0.09*float64(len(p.Lines))), 1)
	}
	out.Draw(draw.Crop(c, 6, -12, 6, -6))
	return nil
}

// points averages a line down to what can be seen.
func (p *Plot) points(l Line) plotter.XYs {
	group := max(1, (len(l.Values)+maxPoints-1)/maxPoints)
	var points plotter.XYs
	for i := 0; i < len(l.Values); i += group {
		part := l.Values[i:min(i+group, len(l.Values))]
		sum := 0.0
		for _, v := range part {
			sum += v
		}
		y := sum / float64(len(part))
		if p.Log && y <= 0 {
			continue
		}
		points = append(points, plotter.XY{X: float64(i) * p.Step, Y: y})
	}
	return points
}

// amounts labels the value axis with 10k and 2M instead of long numbers.
type amounts struct{}

func (amounts) Ticks(lo, hi float64) []plot.Tick {
	ticks := plot.DefaultTicks{}.Ticks(lo, hi)
	for i := range ticks {
		if ticks[i].Label != "" {
			ticks[i].Label = amount(ticks[i].Value)
		}
	}
	return ticks
}

// wholes labels the time axis at six to twelve round places.
type wholes struct{}

func (wholes) Ticks(lo, hi float64) []plot.Tick {
	step := math.Pow10(int(math.Floor(math.Log10(max(hi-lo, 1e-9) / 6))))
	for _, by := range []float64{1, 2, 5, 10} {
		if (hi-lo)/(step*by) <= 12 {
			step *= by
			break
		}
	}
	var ticks []plot.Tick
	for v := math.Ceil(lo/step) * step; v <= hi+step/1000; v += step {
		ticks = append(ticks, plot.Tick{Value: v, Label: strconv.FormatFloat(v, 'g', 6, 64)})
	}
	return ticks
}

func amount(v float64) string {
	a := math.Abs(v)
	switch {
	case a >= 1e9:
		return strconv.FormatFloat(v/1e9, 'g', 4, 64) + "G"
	case a >= 1e6:
		return strconv.FormatFloat(v/1e6, 'g', 4, 64) + "M"
	case a >= 1e4:
		return strconv.FormatFloat(v/1e3, 'g', 4, 64) + "k"
	}
	return strconv.FormatFloat(v, 'g', 4, 64)
}

// Floats turns whole numbers into a line's values.
func Floats(v []int32) []float64 {
	f := make([]float64, len(v))
	for i, x := range v {
		f[i] = float64(x)
	}
	return f
}
