package policy

import (
	"testing"
	"time"

	"github.com/cloudjit/cloudjit/internal/function"
)

// view is a function of 100 MiB a worker, 38 native, added at 0.
func view(rev RevisionID) *View {
	return &View{
		Revision: rev, Params: DefaultParams(), Tier: function.TierHotSpot, Recent: &Window{},
		MemoryMiB: &[function.TierCount]int32{0, 100, 100, 38, 100},
	}
}

func TestBenefitWaitsForEvidence(t *testing.T) {
	b := &Benefit{Costs: DefaultCosts()}
	now := int64(0)
	if got := b.Promote(now, view(3)); got != function.LevelNone {
		t.Errorf("level %v at the first cold start: want none, it says nothing of how often there is one", got)
	}
	asked := 1
	for ; asked < 20; asked++ {
		now += int64(2 * time.Minute)
		if b.Promote(now, view(3)) != function.LevelNone {
			break
		}
	}
	if asked < 2 || asked > 6 {
		t.Errorf("a build after %d cold starts two minutes apart: want 3..7 (they pay from two in ten minutes on)", asked+1)
	}
	rare, now := 0, int64(0)
	for range 40 {
		now += int64(time.Hour)
		if b.Promote(now, view(4)) != function.LevelNone {
			rare++
		}
	}
	if rare != 0 {
		t.Errorf("built %d times at one cold start an hour", rare)
	}
	if fast, slow := b.Priority(now, view(3)), b.Priority(now, view(4)); fast < 0 || slow < 0 {
		t.Errorf("priorities %g and %g: want none below 0", fast, slow)
	}
}

func TestBenefitPutsTheGreaterNeedFirst(t *testing.T) {
	b := &Benefit{Costs: DefaultCosts()}
	now := int64(0)
	for range 30 {
		now += int64(10 * time.Second)
		b.Promote(now, view(0))
	}
	for range 3 {
		b.Promote(now, view(1))
	}
	if often, seldom := b.Priority(now, view(0)), b.Priority(now, view(1)); often <= seldom {
		t.Errorf("priority %g of 30 cold starts, %g of 3", often, seldom)
	}
	if b.Priority(now, view(99)) != 0 {
		t.Error("an unknown revision has a priority")
	}
}

func TestAdaptiveKeepsByTierAndGap(t *testing.T) {
	a := &Adaptive{Benefit: Benefit{Costs: DefaultCosts()}}
	v := view(1)
	if got := a.KeepAlive(0, v); got != v.Params.KeepAlive {
		t.Errorf("HotSpot is kept %v: want the function's own", time.Duration(got))
	}
	v.Tier = function.TierNative
	// 600 s * 35/1100 * 100/38 = 50.2 s
	even := time.Duration(a.KeepAlive(0, v))
	if even < 50*time.Second || even > 51*time.Second {
		t.Errorf("a native worker of unknown habits is kept %v: want the break-even of 50.2 s", even)
	}
	now := int64(0)
	for range 20 { // a timer of five minutes
		now += int64(5 * time.Minute)
		a.Arrived(now, 1, 1)
	}
	if got := a.KeepAlive(now, v); got != 0 {
		t.Errorf("with gaps of five minutes a native worker is kept %v: want not at all", time.Duration(got))
	}
	v = view(2)
	v.Tier = function.TierNative
	for range 50 {
		now += int64(3 * time.Second)
		a.Arrived(now, 2, 2)
	}
	if got := time.Duration(a.KeepAlive(now, v)); got < 6*time.Second || got > 20*time.Second {
		t.Errorf("with gaps of 3 s it is kept %v: want some of them", got)
	}
	v.Params.KeepAlive = 0
	if got := a.KeepAlive(now, v); got != 0 {
		t.Errorf("with a keep-alive of 0 it is kept %v", time.Duration(got))
	}
}

func TestNewMakesEveryNamedPolicy(t *testing.T) {
	for _, name := range Names() {
		if p, err := New(name); err != nil || p == nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := New("magic"); err == nil {
		t.Error("an unknown policy was made")
	}
}
