package sim

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestReadLadderRefuses what no ladder is, and says where.
func TestReadLadderRefuses(t *testing.T) {
	const first = `{"name":"hotspot","start":1,"first":1,"speed":1,"memory":1}`
	for _, c := range []struct{ text, want string }{
		{``, "EOF"},
		{`{"name":"x","rungs":[]}`, "0 rungs"},
		{`{"name":"x","rungs":[` + first + `]} {}`, "something follows"},
		{`{"name":"x","rung":[` + first + `]}`, `unknown field "rung"`},
		{`{"name":"x","rungs":[{"name":"hotspot","start":"fast"}]}`, "start"},
		{`{"name":"x","rungs":[{"name":"hotspot","start":-1,"first":1,"speed":1,"memory":1}]}`, "start -1"},
		{`{"name":"x","startNs":99999999999999,"rungs":[` + first + `]}`, "startNs"},
		{`{"name":"x","rungs":[{"name":"hotspot","start":1,"first":1,"speed":1,"memory":1e300}]}`, "memory: 1e+300"},
		{`{"name":"x","rungs":[` + first + `,{"name":"b","artifact":"tape","start":1,"first":1,"speed":1,"memory":1}]}`, "tape"},
		{`{"name":"x","rungs":[` + first + `,{"name":"b","artifact":"cache","start":1,"first":1,"speed":1,"memory":1,"cost":{"diskMB":1e10}}]}`, "cost.diskMB"},
		{`{"name":"x","rungs":[` + first + `,{"name":"b","artifact":"cache","back":7,"start":1,"first":1,"speed":1,"memory":1}]}`, "falls back to rung 7"},
		{`{"name":"` + strings.Repeat("x", maxLadder) + `"}`, "bytes"},
		{strings.Repeat(`[`, maxLadder+2), "depth"},
	} {
		if _, err := ReadLadder(strings.NewReader(c.text)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.80s: %v: want %q", c.text, err, c.want)
		}
	}
}

// TestShippedLadderIsTheTable holds docs/simulator/ladder-measured.json to internal/ladder; UPDATE=1 writes it.
func TestShippedLadderIsTheTable(t *testing.T) {
	const path = "../../docs/simulator/ladder-measured.json"
	table, _ := NamedLadder("measured")
	if os.Getenv("UPDATE") != "" {
		text, err := json.MarshalIndent(table, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, append(text, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	shipped, err := ReadLadder(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(table, shipped); diff != "" {
		t.Errorf("UPDATE=1 go test ./internal/sim writes it (-table +file):\n%s", diff)
	}
}

func FuzzReadLadder(f *testing.F) {
	table, _ := NamedLadder("measured")
	text, err := json.Marshal(table)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte(`{"name":"x","rungs":[{"name":"a","start":1e308}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		l, err := ReadLadder(bytes.NewReader(text))
		if err != nil {
			return
		}
		again, err := json.Marshal(l)
		if err != nil {
			t.Fatal(err)
		}
		back, err := ReadLadder(bytes.NewReader(again))
		if err != nil {
			t.Fatalf("%v: it was read before", err)
		}
		if diff := cmp.Diff(l, back); diff != "" {
			t.Errorf("(-read +read again):\n%s", diff)
		}
	})
}
