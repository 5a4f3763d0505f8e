package machine_test

import (
	"testing"

	"github.com/cloudjit/cloudjit/internal/machine"
)

func TestThisMachine(t *testing.T) {
	if idle, all, ok := machine.CPU(); !ok || idle < 0 || all <= idle {
		t.Errorf("CPU time: got %s idle of %s, %v", idle, all, ok)
	}
	if load := machine.Load(); load < 0 {
		t.Errorf("load: got %v", load)
	}
}
