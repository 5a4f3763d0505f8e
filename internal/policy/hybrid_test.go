package policy

import (
	"testing"
	"time"
)

func TestHybrid(t *testing.T) {
	p, v := &Hybrid{}, view(1)
	now := second
	idle := func(gap int64) Keep {
		now += gap
		p.Arrived(now, 0, 1)
		return p.Keep(now, v)
	}
	if k := idle(0); k.Alive != v.Params.KeepAlive || k.Again != 0 {
		t.Errorf("of unknown habits: %+v, want the keep-alive", k)
	}
	var k Keep
	for range 10 {
		k = idle(20*minute + second)
	}
	if k.Alive != 0 || k.Again != now+18*minute {
		t.Errorf("idle for 20 minutes each time: kept %v, again after %v: want not at all, 18m",
			time.Duration(k.Alive), time.Duration(k.Again-now))
	}
	v.Fresh = true
	now = k.Again
	if k = p.Keep(now, v); k.Alive < 5*minute || k.Alive > 6*minute {
		t.Errorf("started ahead it is kept %v: want until a tenth after 21 minutes", time.Duration(k.Alive))
	}
	v.Fresh = false
	p = &Hybrid{}
	for i := range int64(480) {
		k = idle(i * minute / 2)
	}
	if k.Alive != v.Params.KeepAlive {
		t.Errorf("with all idle times alike: %+v, want the keep-alive", k)
	}
	if v.Params.KeepAlive = 0; p.Keep(now, v) != (Keep{}) {
		t.Error("kept with a keep-alive of 0")
	}
}
