package lambda

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io"
	"math"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/cloudjit/cloudjit/internal/api/calls"
	"github.com/cloudjit/cloudjit/internal/api/gate"
	"github.com/cloudjit/cloudjit/internal/store"
)

func FuzzParseRef(f *testing.F) {
	for _, s := range []string{"f", "f:1", "function:f", "000000000000:function:f:live", "arn:aws:lambda:us-east-1:000000000000:function:f:$LATEST", "arn:::::::", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := gate.ParseRef(s)
		if err != nil {
			return
		}
		if !gate.IsWord(string(r.Name)) || len(r.Name) > gate.MaxName || r.Qualifier != "" && !gate.IsQualifier(r.Qualifier) {
			t.Fatalf("%q: accepted as %+v", s, r)
		}
		full := "arn:aws:lambda:us-east-1:000000000000:function:" + string(r.Name)
		if r.Qualifier != "" {
			full += ":" + r.Qualifier
		}
		if again, err := gate.ParseRef(full); err != nil || again != r {
			t.Fatalf("%q: got %+v, its ARN %q: %+v, %v", s, r, full, again, err)
		}
	})
}

// FuzzSplitZip holds the streaming reader to encoding/json, which reads everything at once.
func FuzzSplitZip(f *testing.F) {
	f.Add(`{"Code":{"ZipFile":"aGVsbG8="},"FunctionName":"f"}`)
	f.Add(`{"ZipFile":"aGVs\nbG8\u003d","a":["ZipFile",{"ZipFile":"x"}],"Environment":{"Variables":{"ZipFile":"no\"pe"}}}`)
	f.Add(`{"Z\u0069pFile":"\/+8="}`)
	f.Add(`["ZipFile","ZipFile"]`)
	f.Fuzz(func(t *testing.T, doc string) {
		var got []byte
		rest, found, err := splitZip(strings.NewReader(doc), gate.MaxDocument, func(r io.Reader) error {
			var err error
			got, err = io.ReadAll(r)
			return err
		})
		if err != nil {
			return
		}
		type code struct{ ZipFile *[]byte }
		var want struct {
			code
			Code *code
		}
		if json.Valid([]byte(doc)) != json.Valid(rest) {
			t.Fatalf("%q: left %q", doc, rest)
		}
		// Names that differ in case only are one to encoding/json and two to AWS.
		if lower := strings.ToLower(doc); json.Unmarshal([]byte(doc), &want) != nil || strings.Count(lower, "zipfile") != 1 || strings.Count(lower, "code") > 1 || !strings.Contains(doc, "ZipFile") || strings.Contains(lower, "code") && !strings.Contains(doc, `"Code"`) {
			return
		}
		file := want.ZipFile
		if want.Code != nil && want.Code.ZipFile != nil {
			file = want.Code.ZipFile
		}
		if (file != nil) != found || file != nil && !bytes.Equal(*file, got) {
			t.Fatalf("%q: got %q %v, want %v", doc, got, found, file)
		}
	})
}

func TestSplitZipIsExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		zip := rapid.SliceOf(rapid.Byte()).Draw(t, "zip")
		text := rapid.String().Draw(t, "text")
		doc, err := json.Marshal(map[string]any{
			"Code": map[string]any{"ZipFile": base64.StdEncoding.EncodeToString(zip)}, "Text": text, "Environment": map[string]any{"ZipFile": text},
		})
		if err != nil {
			t.Fatal(err)
		}
		var got []byte
		rest, found, err := splitZip(bytes.NewReader(doc), gate.MaxDocument, func(r io.Reader) error {
			var err error
			got, err = io.ReadAll(r)
			return err
		})
		if err != nil || !found || !bytes.Equal(got, zip) {
			t.Fatalf("%s: got %q, %v, %v", doc, got, found, err)
		}
		var back struct {
			Text        string
			Environment map[string]string
		}
		if err := json.Unmarshal(rest, &back); err != nil || back.Text != strings.ToValidUTF8(text, "\ufffd") && back.Text != text || back.Environment["ZipFile"] != back.Text {
			t.Fatalf("left %s: %v", rest, err)
		}
	})
}

func TestDrawFollowsTheWeights(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		weight := rapid.Float64Range(0, 1).Draw(t, "weight")
		a := store.Alias{Version: "1", Weights: map[string]float64{"2": weight}}
		n := 0
		const steps = 1000
		for i := range steps {
			if calls.Draw(a, float64(i)/steps) == "2" {
				n++
			}
		}
		if math.Abs(float64(n)-weight*steps) > 1 {
			t.Fatalf("weight %v: drawn %d times of %d", weight, n, steps)
		}
	})
}

func FuzzPolicyDocument(f *testing.F) {
	f.Add(`{"threshold":2,"window":"10m","keepAlive":"0s","onMissing":"error","optimize":false}`)
	f.Fuzz(func(t *testing.T, doc string) {
		var p store.Policy
		if json.Unmarshal([]byte(doc), &p) != nil || p.Check() != nil {
			return
		}
		b, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		var again store.Policy
		if err := json.Unmarshal(b, &again); err != nil || again.Check() != nil {
			t.Fatalf("%s: written as %s: %v", doc, b, err)
		}
	})
}
