package logs

import (
	"encoding/json"
	"testing"
	"time"
)

// FuzzAppendLine: what is on disk is what encoding/json would have written.
func FuzzAppendLine(f *testing.F) {
	f.Add(uint64(1), int64(1_700_000_000_123_456_789), "1", "w", "r", true, "START RequestId: r")
	f.Add(uint64(0), int64(0), "", "", "", false, "\t\"q\" \\ <b>&\u2028é\xff\x00")
	f.Fuzz(func(t *testing.T, seq uint64, ns int64, version, worker, request string, platform bool, text string) {
		l := Line{Seq: seq, Time: time.Unix(0, ns).UTC(), Version: version, Worker: worker, Request: request, Platform: platform, Text: text}
		want, err := json.Marshal(l)
		if err != nil {
			t.Skip(err)
		}
		if got, err := appendLine(nil, &l); err != nil || string(got) != string(want) {
			t.Errorf("got %s, %v, want %s", got, err, want)
		}
	})
}
