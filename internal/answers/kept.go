package answers

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// Kept is what is known of a group, as a file of the repository: its columns may have been asked on different days.
type Kept struct {
	Group   string       `json:"group"`
	Columns []KeptColumn `json:"columns"`
	Rows    []KeptRow    `json:"rows"`
}

// KeptColumn is one that was asked.
type KeptColumn struct {
	Column
	// Asked is the day, as 2006-01-02.
	Asked string `json:"asked"`
}

// KeptRow is a feature, with a cell for each column.
type KeptRow struct {
	Feature string `json:"feature"`
	// Varies as in Row; empty: it does not.
	Varies string     `json:"varies,omitempty"`
	Cells  []KeptCell `json:"cells"`
}

// KeptCell is what a column gave. What is documented is not kept: that is for who reads it.
type KeptCell struct {
	// Verdict is "same", "back", "other", or "" where it was not asked.
	Verdict string `json:"is,omitempty"`
	// Differs has the two answers, of others.
	Differs string `json:"differs,omitempty"`
}

// Merge adds what was asked of a group, which is what there is for its columns from then on. Features that
// the group has no more are forgotten; a column whose artifact could not be made stays as it was.
func (k *Kept) Merge(group string, r *Result, now time.Time) {
	columns := slices.Clone(k.Columns)
	at := make([]int, len(r.Columns)) // in columns
	for i, c := range r.Columns {
		if r.Unmade[c.String()] != "" {
			at[i] = -1
			continue
		}
		at[i] = slices.IndexFunc(columns, func(had KeptColumn) bool { return had.Column == c })
		if at[i] < 0 {
			at[i], columns = len(columns), append(columns, KeptColumn{Column: c})
		}
		columns[at[i]].Asked = now.UTC().Format(time.DateOnly)
	}
	had := map[string]KeptRow{}
	for _, row := range k.Rows {
		had[row.Feature] = row
	}
	rows := make([]KeptRow, 0, len(r.Rows))
	for _, row := range r.Rows {
		kept := KeptRow{Feature: row.Feature, Varies: row.Varies, Cells: make([]KeptCell, len(columns))}
		copy(kept.Cells, had[row.Feature].Cells)
		for i, cell := range row.Cells {
			if at[i] >= 0 {
				kept.Cells[at[i]] = keep(cell)
			}
		}
		rows = append(rows, kept)
	}
	*k = Kept{Group: group, Columns: columns, Rows: rows}
}

func keep(c Cell) KeptCell {
	switch c.Verdict {
	case Same:
		return KeptCell{Verdict: "same"}
	case SteppedBack:
		return KeptCell{Verdict: "back"}
	case Documented, Silent:
		return KeptCell{"other", c.Differs}
	}
	return KeptCell{}
}

// cell is the reverse of keep, with what is documented now.
func (k KeptCell) cell(feature string, c Column) Cell {
	switch k.Verdict {
	case "same":
		return Cell{}
	case "back":
		return Cell{Verdict: SteppedBack}
	case "other":
		return differs(feature, c, k.Differs)
	}
	return Cell{Verdict: Unknown}
}

// Table puts what is kept of all groups together, each row with a cell for each of Columns.
func Table(kept []Kept) (rows []Row) {
	for _, k := range kept {
		for _, kr := range k.Rows {
			row := Row{Group: k.Group, Feature: kr.Feature, Varies: kr.Varies, Cells: make([]Cell, len(Columns))}
			for i := range row.Cells {
				row.Cells[i] = Cell{Verdict: Unknown}
			}
			for i, c := range k.Columns {
				if at := slices.Index(Columns, c.Column); at >= 0 {
					row.Cells[at] = kr.Cells[i].cell(kr.Feature, c.Column)
				}
			}
			rows = append(rows, row)
		}
	}
	return rows
}

// LoadKept reads what is kept of the groups from a folder, in their order. A group that nothing is kept of has no rows.
func LoadKept(folder string) ([]Kept, error) {
	kept := make([]Kept, len(Groups))
	for i, g := range Groups {
		kept[i].Group = g.Name
		b, err := os.ReadFile(keptFile(folder, g.Name))
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue
		case err != nil:
			return nil, err
		}
		if err := json.Unmarshal(b, &kept[i]); err != nil {
			return nil, fmt.Errorf("%s: %w", keptFile(folder, g.Name), err)
		}
		for _, row := range kept[i].Rows {
			if len(row.Cells) != len(kept[i].Columns) {
				return nil, fmt.Errorf("%s: %s has %d cells for %d columns", keptFile(folder, g.Name), row.Feature, len(row.Cells), len(kept[i].Columns))
			}
		}
	}
	return kept, nil
}

// Save writes what is kept of a group, a line for each feature.
func (k *Kept) Save(folder string) error {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	line := func(v any) string {
		var b bytes.Buffer
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false)
		_ = e.Encode(v) // plain structs
		return string(bytes.TrimSpace(b.Bytes()))
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "{\"group\": %s,\n\"columns\": %s,\n\"rows\": [", line(k.Group), line(k.Columns))
	for i, row := range k.Rows {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, "\n%s", line(row))
	}
	b.WriteString("\n]}\n")
	file := keptFile(folder, k.Group)
	if err := os.WriteFile(file+".tmp", b.Bytes(), 0o644); err != nil {
		return err
	}
	return os.Rename(file+".tmp", file)
}

func keptFile(folder, group string) string {
	return filepath.Join(folder, "same-answers-"+group+".json")
}
