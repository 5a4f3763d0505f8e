package report

import (
	"bytes"
	"image/png"
	"math"
	"strings"
	"testing"
)

func TestTableAlignsText(t *testing.T) {
	table := Table{Head: []string{"what", "none", "paper"}, Rows: [][]string{{"cold starts", "12", "7"}, {"saved", "0.0 %", "52.6 %"}}}
	var b strings.Builder
	if err := table.WriteText(&b); err != nil {
		t.Fatal(err)
	}
	want := "what          none   paper\n" +
		"cold starts     12       7\n" +
		"saved        0.0 %  52.6 %\n"
	if b.String() != want {
		t.Errorf("got\n%swant\n%s", b.String(), want)
	}
}

func TestPlotDrawsAllItIsGiven(t *testing.T) {
	long := make([]float64, 86400)
	for i := range long {
		long[i] = math.Abs(math.Sin(float64(i) / 5000))
	}
	for name, p := range map[string]Plot{
		"lines":       {Title: "a", Lines: []Line{{Name: "x", Values: long}, {Name: "y", Values: []float64{1, 2}, Dashed: true}}, Step: 1.0 / 60},
		"logarithmic": {Title: "b", Lines: []Line{{Name: "x", Values: []float64{0, 10, 1000}}, {Name: "zeros", Values: []float64{0, 0}}}, Step: 1, Log: true},
		"all zero":    {Title: "c", Lines: []Line{{Name: "x", Values: make([]float64, 5)}}, Step: 1},
		"log of none": {Title: "e", Lines: []Line{{Name: "x", Values: make([]float64, 5)}}, Step: 1, Log: true},
		"empty":       {Title: "d"},
	} {
		svg, err := p.SVG()
		if err != nil || !bytes.Contains(svg, []byte("</svg>")) || len(svg) > 200_000 {
			t.Errorf("%s: %d bytes of SVG, %v", name, len(svg), err)
		}
		var b bytes.Buffer
		if err := p.WritePNG(&b); err != nil {
			t.Errorf("%s: %v", name, err)
		} else if _, err := png.Decode(&b); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
