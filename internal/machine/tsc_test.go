package machine_test

import (
	"runtime"
	"testing"

	"github.com/cloudjit/cloudjit/internal/machine"
)

// TestTSC: it is the same each time.
func TestTSC(t *testing.T) {
	if runtime.GOARCH != "amd64" {
		t.Skip("THERE IS NO TIME STAMP COUNTER")
	}
	a, b := machine.TSC(), machine.TSC()
	if a < 100_000 || float64(max(a, b)-min(a, b)) > 0.01*float64(a) {
		t.Errorf("got %d and %d kHz", a, b)
	}
	t.Logf("%d and %d kHz", a, b)
}
