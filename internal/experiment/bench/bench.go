// Package bench is the paper's Figure 1, Table 1 and Figure 2 as numbers: what is measured of
// each application on each rung, its statistics, and the report. It is pure; package measure,
// below it, does the measuring. It must not know how a server is reached nor how a process is
// started.
package bench

import (
	"slices"
	"time"

	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/ladder"
	"github.com/cloudjit/cloudjit/internal/metadata"
)

// Part is one figure or table of the paper.
type Part string

const (
	Figure1 Part = "figure1"
	Table1  Part = "table1"
	Figure2 Part = "figure2"
)

// Metric is one thing that is measured, again and again, of an application on a rung.
type Metric struct {
	// Key names it in CSV and JSON and ends in its unit.
	Key string
	// Title and Unit are for people.
	Title, Unit string
	// Decimals that are worth printing.
	Decimals int
}

// The metrics of Figure 1.
var (
	BareFirst     = Metric{"bare_first_answer_ms", "first answer, bare", "ms", 0}
	PlatformFirst = Metric{"platform_first_answer_ms", "first answer, through the platform", "ms", 0}
	FirstSecond   = Metric{"first_second_answers", "answers in the first second", "", 0}
	FirstFive     = Metric{"first_five_seconds_answers", "answers in the first five seconds", "", 0}
	IdleMemory    = Metric{"idle_pss_mib", "memory, idle", "MiB", 1}
	LoadMemory    = Metric{"load_pss_mib", "memory, under load", "MiB", 1}
	WorkerMemory  = Metric{"platform_idle_pss_mib", "memory of an idle worker, sandbox included", "MiB", 1}
	Peak          = Metric{"peak_answers_per_second", "peak throughput", "answers/s", 0}
)

// Metrics in the order of the report.
var Metrics = []Metric{BareFirst, PlatformFirst, FirstSecond, FirstFive, IdleMemory, LoadMemory, WorkerMemory, Peak}

// Result is a whole run; result.json holds it.
type Result struct {
	Parts []Part    `json:"parts"`
	Began time.Time `json:"began"`
	Ended time.Time `json:"ended"`
	// Interrupted: the run was stopped; what had been measured is there.
	Interrupted bool `json:"interrupted,omitempty"`
	// Command reproduces it.
	Command  string   `json:"command,omitempty"`
	Machine  Machine  `json:"machine"`
	Versions Versions `json:"versions"`
	Settings Settings `json:"settings"`
	Apps     []*App   `json:"applications"`
}

// Machine is what it was measured on.
type Machine struct {
	CPU         string `json:"cpu"`
	Cores       int    `json:"cores"`
	MemoryBytes int64  `json:"memoryBytes"`
	Kernel      string `json:"kernel"`
	OS          string `json:"os,omitempty"`
	// Load is the load average over a minute at the beginning and at the end; of an idle machine
	// the first is near 0.
	LoadBefore float64 `json:"loadBefore"`
	LoadAfter  float64 `json:"loadAfter"`
}

// Versions of what took part.
type Versions struct {
	CloudJIT string `json:"cloudjit"`
	// Builder is native-image's home, kind and version; empty: there is none.
	Builder string `json:"builder,omitempty"`
	// JDK is what the platform runs HotSpot on.
	JDK string `json:"jdk"`
}

// Settings of the measurement.
type Settings struct {
	Repeat int `json:"repeat"`
	// Connections that ask at once, each again as soon as it has its answer. Handlers take one
	// event at a time, whatever this is.
	Connections int `json:"connections"`
	// Settle is how long a process has been idle when its memory is measured.
	Settle time.Duration `json:"settle"`
	// PeakAfter is how long after its first answer, under load, a process's peak throughput
	// begins to be counted, and PeakWindow for how long.
	PeakAfter  time.Duration `json:"peakAfter"`
	PeakWindow time.Duration `json:"peakWindow"`
	// ColdStarts through the platform, of each rung in each repetition.
	ColdStarts int `json:"coldStarts"`
	// Rungs above the first that are measured.
	Rungs []function.Rung `json:"rungs"`
}

// App is an application with all that is known of it.
type App struct {
	Name         string `json:"name"`
	Archive      string `json:"archive"`
	ArchiveBytes int64  `json:"archiveBytes"`
	SHA256       string `json:"sha256"`
	Kind         string `json:"kind"`
	// Framework with its version, where the archive tells.
	Framework string `json:"framework"`
	MemoryMiB int    `json:"memoryMiB"`
	Requests  int    `json:"requests"`
	// Failed says why there is nothing, or less than was asked for, in a sentence each.
	Failed []string `json:"failed,omitempty"`
	// Notes are what a reader should know beside the numbers.
	Notes  []string `json:"notes,omitempty"`
	Rungs  []*Rung  `json:"rungs,omitempty"`
	Builds []Build  `json:"builds,omitempty"`
	// Metadata that was traced; nil: none was.
	Metadata *metadata.Counts `json:"metadata,omitempty"`
}

// Rung is a way to run an application.
type Rung struct {
	// Name is the ladder's, as "hotspot" or "native", or of one that the platform does not
	// have: HotSpot of another JDK.
	Name function.Rung `json:"name"`
	// Runtime says what runs it.
	Runtime string `json:"runtime"`
	// Command is how it is started outside the platform.
	Command string `json:"command,omitempty"`
	// Values by the metric's key, in the order of repetition.
	Values map[string][]float64 `json:"values"`
	// Answers that came and Wrong ones of them; FirstWrong is the first of those.
	Answers    int64  `json:"answers"`
	Wrong      int64  `json:"wrongAnswers"`
	FirstWrong string `json:"firstWrongAnswer,omitempty"`
	// Failed says why a rung has no or fewer values.
	Failed string `json:"failed,omitempty"`
}

// Build is the record of one build.
type Build struct {
	Rung   function.Rung `json:"rung"`
	Wall   time.Duration `json:"wall"`
	CPU    time.Duration `json:"cpu"`
	RSS    int64         `json:"peakRss"` // bytes
	Size   int64         `json:"size"`    // bytes, of the artifact
	Cached bool          `json:"cached,omitempty"`
	At     time.Time     `json:"at"`
	// State is the platform's: succeeded or failed; Reason says why it failed.
	State  string `json:"state"`
	Reason string `json:"reason,omitempty"`
}

// Has reports whether a part was asked for.
func (r *Result) Has(p Part) bool { return slices.Contains(r.Parts, p) }

// Rung returns the application's rung of a name, nil if it has none.
func (a *App) Rung(name function.Rung) *Rung {
	for _, r := range a.Rungs {
		if r.Name == name {
			return r
		}
	}
	return nil
}

// native is the highest binary's rung, nil if there is none.
func (a *App) native() *Rung {
	for _, name := range []function.Rung{ladder.NativeProfiled, ladder.NativeOptimized} {
		if r := a.Rung(name); r != nil {
			return r
		}
	}
	return a.Rung(ladder.Native)
}

// Add records one value.
func (r *Rung) Add(m Metric, v float64) {
	if r.Values == nil {
		r.Values = map[string][]float64{}
	}
	r.Values[m.Key] = append(r.Values[m.Key], v)
}

// RungNames are the names of all rungs of the result, in the order in which they first stand.
func (r *Result) RungNames() []function.Rung {
	var names []function.Rung
	for _, a := range r.Apps {
		for _, rung := range a.Rungs {
			if !slices.Contains(names, rung.Name) {
				names = append(names, rung.Name)
			}
		}
	}
	return names
}
