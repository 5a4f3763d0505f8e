package policy

import (
	"testing"
	"time"
)

func TestBenefitWaitsForEvidence(t *testing.T) {
	b := &Benefit{}
	now := int64(0)
	cold := func(v *View, every int64) bool {
		now += every
		v.ColdStarts++
		return b.Decide(now, v).Make != hotspot
	}
	v := view(3)
	if cold(v, 0) {
		t.Error("a build at the first cold start: it says nothing of how often there is one")
	}
	asked := 1
	for ; asked < 20 && !cold(v, 30*second); asked++ {
	}
	if asked > 10 {
		t.Errorf("a build after %d cold starts half a minute apart: want 2..11", asked+1)
	}
	rare := view(4)
	for range 40 {
		if cold(rare, int64(time.Hour)) {
			t.Error("built at one cold start an hour")
		}
	}
	if fast, slow := b.Priority(now, v, native), b.Priority(now, rare, native); fast < 0 || slow < 0 {
		t.Errorf("priorities %g and %g: want none below 0", fast, slow)
	}
}

func TestBenefitPutsTheGreaterNeedFirst(t *testing.T) {
	b := &Benefit{}
	now := int64(0)
	often, seldom := view(0), view(1)
	for range 30 {
		now += 10 * second
		often.ColdStarts++
		b.Decide(now, often)
	}
	for range 3 {
		seldom.ColdStarts++
		b.Decide(now, seldom)
	}
	if o, s := b.Priority(now, often, native), b.Priority(now, seldom, native); o <= s {
		t.Errorf("priority %g of 30 cold starts, %g of 3", o, s)
	}
	if b.Priority(now, view(99), native) != 0 {
		t.Error("an unknown revision has a priority")
	}
}

func TestAdaptiveKeepsByRungAndGap(t *testing.T) {
	a := &Adaptive{}
	v := view(1, native)
	if got := a.Keep(0, v).Alive; got != v.Params.KeepAlive {
		t.Errorf("HotSpot is kept %v: want the function's own", time.Duration(got))
	}
	v.Rung = native
	// 600 s * 0.032 / 0.375 = 51.2 s
	if even := time.Duration(a.Keep(0, v).Alive); even < 50*time.Second || even > 52*time.Second {
		t.Errorf("a native worker of unknown habits is kept %v: want the break-even of 51.2 s", even)
	}
	now := int64(0)
	for range 20 { // a timer of five minutes
		now += 5 * minute
		a.Arrived(now, 1, 1)
	}
	if got := a.Keep(now, v).Alive; got != 0 {
		t.Errorf("with gaps of five minutes a native worker is kept %v: want not at all", time.Duration(got))
	}
	v = view(2, native)
	v.Rung = native
	for range 50 {
		now += 3 * second
		a.Arrived(now, 2, 2)
	}
	if got := time.Duration(a.Keep(now, v).Alive); got < 6*time.Second || got > 20*time.Second {
		t.Errorf("with gaps of 3 s it is kept %v: want some of them", got)
	}
	v.Params.KeepAlive = 0
	if got := a.Keep(now, v).Alive; got != 0 {
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
