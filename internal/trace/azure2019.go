package trace

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// azure2019 joins the three tables of the Azure 2019 set, which come in any order.
type azure2019 struct {
	problems *Problems
	index    map[key]int32
	found    []found
	duration map[key]*durationRow
	memories map[key]*memoryRow // name is empty where the row is an app's
	// first and last label of the minutes' columns over all files, and days.
	firstLabel, lastLabel int
	firstDay, lastDay     int
	any                   bool
}

// found is a function of the invocations' files.
type found struct {
	function Function
	place    Place // of its first row
	days     []dayRow
}

// dayRow is a function's counts on one day; minutes count from the day's midnight.
type dayRow struct {
	day  int
	data row
}

type durationRow struct {
	d     Durations
	place Place
	used  bool
}

type memoryRow struct {
	mb      float64
	samples float64
	place   Place
	used    bool
}

func newAzure2019(problems *Problems) *azure2019 {
	return &azure2019{problems: problems, index: map[key]int32{}, duration: map[key]*durationRow{}, memories: map[key]*memoryRow{}}
}

var dayInName = regexp.MustCompile(`\.d(\d\d)\b`)

// maxDays bounds the span of the days that a set may claim by its file names.
const maxDays = 100

// invocations reads HashOwner,HashApp,HashFunction,Trigger,1..1440.
func (a *azure2019) invocations(in *lines, fields [][]byte, h header) error {
	day := 0
	if m := dayInName.FindStringSubmatch(in.name); m != nil {
		day, _ = strconv.Atoi(m[1]) // two digits
	}
	owner, app, name, trigger := h.at("HashOwner"), h.at("HashApp"), h.at("HashFunction"), h.at("Trigger")
	columns := len(fields)
	// The minutes are the numbered columns; they follow each other in order.
	start, label := -1, 0
	for i, f := range fields {
		n, ok := parseCount(f)
		if !ok || len(f) == 0 || n > 1440 {
			if start >= 0 {
				return &FormatError{in.name, fmt.Sprintf("column %d, %.20q, stands among the minutes", i+1, f), ""}
			}
			continue
		}
		if start < 0 {
			start, label = i, int(n)
		} else if int(n) != label+i-start {
			return &FormatError{in.name, fmt.Sprintf("column %d is minute %d: want %d", i+1, n, label+i-start), ""}
		}
	}
	if start < 0 {
		return &FormatError{in.name, "no columns of minutes", "want 1..1440 or a part of them"}
	}
	label = max(label, 1) // a set that counts from 0 is taken as if it began at 1
	a.extend(day, label, label+columns-start-1)
	counts := make([]uint32, columns-start)
	for {
		f, err := in.next()
		if errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if len(f) != columns {
			in.malformed("%d fields: want %d", len(f), columns)
			continue
		}
		if !parseCounts(in, f[start:], counts, start) {
			continue
		}
		k := key{field(f, owner), field(f, app), field(f, name)}
		if k.name == "" {
			in.malformed("no function")
			continue
		}
		a.addCounts(in, k, field(f, trigger), day, label-1, counts)
	}
}

func parseCounts(in *lines, f [][]byte, counts []uint32, start int) bool {
	for i := range f {
		if len(f[i]) == 1 && f[i][0] == '0' { // nearly all
			counts[i] = 0
			continue
		}
		n, ok := parseCount(bytes.TrimSpace(f[i]))
		if !ok {
			in.malformed("column %d: %.20q is no count", start+i+1, f[i])
			return false
		}
		counts[i] = n
	}
	return true
}

func (a *azure2019) extend(day, first, last int) {
	if !a.any {
		a.any, a.firstLabel, a.lastLabel, a.firstDay, a.lastDay = true, first, last, day, day
		return
	}
	a.firstLabel, a.lastLabel = min(a.firstLabel, first), max(a.lastLabel, last)
	a.firstDay, a.lastDay = min(a.firstDay, day), max(a.lastDay, day)
}

func (a *azure2019) addCounts(in *lines, k key, trigger string, day, offset int, counts []uint32) {
	i, known := a.index[k]
	if !known {
		i = int32(len(a.found))
		k = key{strings.Clone(k.owner), strings.Clone(k.app), strings.Clone(k.name)}
		a.index[k] = i
		t, ok := parseTrigger(trigger)
		if !ok {
			a.problems.add(UnknownTrigger, in.name, in.line, "%.40q", trigger)
		}
		a.found = append(a.found, found{
			function: Function{Owner: k.owner, App: k.app, Name: k.name, Trigger: t},
			place:    Place{File: in.name, Line: in.line},
		})
	}
	var r row
	for m, n := range counts {
		r.add(offset+m, n)
	}
	f := &a.found[i]
	for j := range f.days {
		if f.days[j].day != day {
			continue
		}
		if bytes.Equal(f.days[j].data.data, r.data) {
			a.problems.add(RepeatedRow, in.name, in.line, "function %.16s", k.name)
			return
		}
		a.problems.add(DoubledFunction, in.name, in.line, "function %.16s", k.name)
		f.days[j].data = mergeRows(f.days[j].data, r)
		return
	}
	r.data = slices.Clip(r.data)
	f.days = append(f.days, dayRow{day, r})
}

// mergeRows adds the counts of two rows.
func mergeRows(a, b row) row {
	sum := map[int]uint32{}
	for _, r := range []row{a, b} {
		for m, n := range r.cells {
			if sum[m] > 1<<32-1-n {
				n = 1<<32 - 1 - sum[m]
			}
			sum[m] += n
		}
	}
	minutes := make([]int, 0, len(sum))
	for m := range sum {
		minutes = append(minutes, m)
	}
	slices.Sort(minutes)
	var r row
	for _, m := range minutes {
		r.add(m, sum[m])
	}
	return r
}

// durations reads HashOwner,HashApp,HashFunction,Average,Count,Minimum,Maximum,percentile_Average_*.
func (a *azure2019) durations(in *lines, h header, columns int) error {
	places := [8]int{h.at("Average")}
	for i, name := range []string{"0", "1", "25", "50", "75", "99", "100"} {
		places[i+1] = h.at("percentile_Average_" + name)
	}
	if !h.has("percentile_Average_0", "percentile_Average_1", "percentile_Average_25", "percentile_Average_75", "percentile_Average_99", "percentile_Average_100") {
		return &FormatError{in.name, "columns of percentiles are missing", "want percentile_Average_0, 1, 25, 50, 75, 99 and 100"}
	}
	owner, app, name, count := h.at("HashOwner"), h.at("HashApp"), h.at("HashFunction"), h.at("Count")
	return each(in, columns, func(f [][]byte) {
		var d Durations
		for i, p := range places {
			v, ok := parseFloat(f[p])
			if !ok {
				in.malformed("column %d: %.20q is no number", p+1, f[p])
				return
			}
			if i == 0 {
				d.Average = v
			} else {
				d.Percentiles[i-1] = v
			}
		}
		if count >= 0 {
			v, ok := parseFloat(f[count])
			if !ok || v < 0 || v > 1e15 {
				in.malformed("column %d: %.20q is no count", count+1, f[count])
				return
			}
			d.Count = int64(v)
		}
		ok, negative, unsorted := d.sound()
		if !ok {
			in.malformed("a duration out of range")
			return
		}
		if negative {
			a.problems.add(NegativeValue, in.name, in.line, "")
		}
		if unsorted {
			a.problems.add(UnsortedPercentiles, in.name, in.line, "")
		}
		k := key{field(f, owner), field(f, app), field(f, name)}
		row := &durationRow{d: d, place: Place{File: in.name, Line: in.line}}
		if old := a.duration[k]; old == nil {
			a.duration[k] = row
		} else {
			if sameDay(old.place.File, in.name) {
				a.problems.add(DoubledFunction, in.name, in.line, "function %.16s", k.name)
			}
			if d.Count > old.d.Count {
				a.duration[k] = row
			}
		}
	})
}

// sameDay says whether a function that stands in both files is doubled: a row a day is not.
func sameDay(a, b string) bool {
	return slices.Equal(dayInName.FindStringSubmatch(a), dayInName.FindStringSubmatch(b))
}

// memory reads HashOwner,HashApp,SampleCount,AverageAllocatedMb,..., of an app or, where
// there is a column HashFunction, of a function.
func (a *azure2019) memory(in *lines, h header, columns int) error {
	owner, app, name := h.at("HashOwner"), h.at("HashApp"), h.at("HashFunction")
	mb, samples := h.at("AverageAllocatedMb"), h.at("SampleCount")
	return each(in, columns, func(f [][]byte) {
		v, ok := parseFloat(f[mb])
		if !ok || v > 1e7 || v < -1e7 {
			in.malformed("column %d: %.20q is no amount of memory", mb+1, f[mb])
			return
		}
		if v < 0 {
			a.problems.add(NegativeValue, in.name, in.line, "")
			v = 0
		}
		n := 0.0
		if samples >= 0 {
			if n, ok = parseFloat(f[samples]); !ok || n < 0 {
				in.malformed("column %d: %.20q is no count", samples+1, f[samples])
				return
			}
		}
		k := key{field(f, owner), field(f, app), field(f, name)}
		row := &memoryRow{mb: v, samples: n, place: Place{File: in.name, Line: in.line}}
		if old := a.memories[k]; old == nil {
			a.memories[k] = row
		} else {
			if sameDay(old.place.File, in.name) {
				a.problems.add(DoubledFunction, in.name, in.line, "app %.16s", k.app)
			}
			if n > old.samples {
				a.memories[k] = row
			}
		}
	})
}

// each calls f for every row with the right number of fields.
func each(in *lines, columns int, f func([][]byte)) error {
	for {
		fields, err := in.next()
		if errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if len(fields) != columns {
			in.malformed("%d fields: want %d", len(fields), columns)
			continue
		}
		f(fields)
	}
}

// field is a copy of a field, empty for a column that is not there.
func field(f [][]byte, i int) string {
	if i < 0 {
		return ""
	}
	return string(bytes.TrimSpace(f[i]))
}

// finish joins the tables and lays the days end to end.
func (a *azure2019) finish(o ReadOptions, paths []string) (Trace, error) {
	if !a.any || len(a.found) == 0 {
		return nil, &FormatError{strings.Join(paths, ", "), "no invocations", "want a file with the columns HashOwner,HashApp,HashFunction,Trigger,1..1440"}
	}
	if a.lastDay-a.firstDay >= maxDays {
		return nil, &FormatError{strings.Join(paths, ", "), fmt.Sprintf("days %d to %d", a.firstDay, a.lastDay), ""}
	}
	start := a.firstLabel - 1
	minutes := (a.lastDay-a.firstDay)*1440 + a.lastLabel - start
	functions := make([]Function, len(a.found))
	rows := make([]row, len(a.found))
	for i := range a.found {
		f := &a.found[i]
		functions[i] = f.function
		slices.SortFunc(f.days, func(x, y dayRow) int { return cmp.Compare(x.day, y.day) })
		for _, d := range f.days {
			for m, n := range d.data.cells {
				rows[i].add((d.day-a.firstDay)*1440+m-start, n)
			}
		}
		f.days = nil
	}
	a.joinDurations(functions)
	a.joinMemory(functions, o)
	return newRows(functions, rows, minutes, start%1440), nil
}

func (a *azure2019) joinDurations(functions []Function) {
	byTrigger := map[Trigger][]Durations{}
	var all []Durations
	for i := range functions {
		f := &functions[i]
		if r := a.duration[f.key()]; r != nil {
			f.Duration, r.used = r.d, true
			byTrigger[f.Trigger] = append(byTrigger[f.Trigger], r.d)
			all = append(all, r.d)
		} else {
			f.DurationAssumed = true
			a.problems.add(NoDuration, a.found[i].place.File, a.found[i].place.Line, "function %.16s", f.Name)
		}
	}
	typical := median(all, shaped(1000, 0.5)) // a second: the published median of averages
	of := map[Trigger]Durations{}
	for t, list := range byTrigger {
		of[t] = median(list, typical)
	}
	for i := range functions {
		if f := &functions[i]; f.DurationAssumed {
			d, ok := of[f.Trigger]
			if !ok {
				d = typical
			}
			d.Count = 0
			f.Duration = d
		}
	}
	unused(a.problems, a.duration, func(r *durationRow) (Place, bool) { return r.place, r.used })
}

// median is the row in the middle by its average.
func median(list []Durations, none Durations) Durations {
	if len(list) == 0 {
		return none
	}
	slices.SortStableFunc(list, func(a, b Durations) int { return cmp.Compare(a.Average, b.Average) })
	return list[len(list)/2]
}

func (a *azure2019) joinMemory(functions []Function, o ReadOptions) {
	inApp := map[key]int{}
	for i := range functions {
		inApp[key{functions[i].Owner, functions[i].App, ""}]++
	}
	var known []float64
	for i := range functions {
		f := &functions[i]
		appOnly := key{f.Owner, f.App, ""}
		if r := a.memories[f.key()]; r != nil {
			f.MemoryMB, r.used = r.mb, true
		} else if r := a.memories[appOnly]; r != nil {
			f.MemoryMB, r.used = r.mb, true
			if !o.WholeAppMemory {
				f.MemoryMB /= float64(inApp[appOnly])
			}
		} else {
			f.MemoryAssumed = true
			a.problems.add(NoMemory, a.found[i].place.File, a.found[i].place.Line, "function %.16s", f.Name)
			continue
		}
		known = append(known, f.MemoryMB)
	}
	typical := float64(typicalMemoryMB)
	if len(known) > 0 {
		slices.Sort(known)
		typical = known[len(known)/2]
	}
	for i := range functions {
		if functions[i].MemoryAssumed {
			functions[i].MemoryMB = typical
		}
	}
	unused(a.problems, a.memories, func(r *memoryRow) (Place, bool) { return r.place, r.used })
}

// unused reports rows without a partner, in order of their places.
func unused[R any](problems *Problems, rows map[key]R, of func(R) (Place, bool)) {
	var places []Place
	for k, r := range rows {
		if p, used := of(r); !used {
			p.What = fmt.Sprintf("app %.16s function %.16s", k.app, k.name)
			places = append(places, p)
		}
	}
	slices.SortFunc(places, func(x, y Place) int {
		return cmp.Or(cmp.Compare(x.File, y.File), cmp.Compare(x.Line, y.Line))
	})
	for _, p := range places {
		problems.add(NoInvocations, p.File, p.Line, "%s", p.What)
	}
}
