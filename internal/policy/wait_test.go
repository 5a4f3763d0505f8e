package policy

import (
	"slices"
	"testing"
	"time"
)

// loop is clients of one function in a closed loop: each sends its next invocation when it has its
// answer. Workers share the cores: with more at work than cores, each takes longer by their ratio.
type loop struct {
	clients, cores int
	compute, sleep time.Duration // of one invocation
	start          time.Duration
	ready          bool // one worker is there and the service time is known
	others         int  // how many compute all the time beside them; the machine is full then, and known to be
	full           bool // the machine is full of their own work
	warm           int  // so many workers are there at the beginning, and the service time is known
}

// result of a loop.
type result struct {
	workers, done int
	last          int           // workers at the end
	p99, longest  time.Duration // of the second half of the run, and of the first answer of a client
}

// run simulates in steps of 100 us of virtual time.
func (l loop) run(length time.Duration) result {
	const tick = 100 * time.Microsecond
	type work struct{ compute, sleep, sent time.Duration }
	p, v := &Ladder{}, view(0, cache)
	v.Cores = int32(l.cores)
	v.Rungs[cache].Start = int64(l.start)
	var r result
	var queue, busy []work
	var starts []time.Duration
	var latencies []time.Duration
	idle, asked, answered := 0, time.Duration(0), 0
	if l.ready {
		idle, v.Service, v.Invocations = 1, int64(l.compute+l.sleep), 1
	}
	if l.warm > 0 {
		idle, v.Service, v.Invocations = l.warm, int64(l.compute+l.sleep), 1
	}
	refresh := func(now time.Duration) {
		v.Waiting, v.Starting, v.Working, v.Idle = int32(len(queue)), int32(len(starts)), int32(len(busy)), int32(idle)
		if len(queue) > 0 {
			v.Oldest = int64(queue[0].sent)
		}
	}
	want := func(now time.Duration) {
		for refresh(now); len(queue) > len(starts) && p.Start(int64(now), v); refresh(now) {
			starts = append(starts, now+l.start)
		}
		r.workers = max(r.workers, len(starts)+len(busy)+idle)
	}
	send := func(now time.Duration) {
		p.Arrived(int64(now), 0, 0)
		v.Invocations++
		w := work{l.compute, l.sleep, now}
		if idle > 0 {
			idle--
			busy = append(busy, w)
			return
		}
		queue = append(queue, w)
		want(now)
	}
	for range l.clients {
		send(second2)
	}
	for now := second2; now < second2+length; now += tick {
		for len(starts) > 0 && starts[0] <= now {
			starts = starts[1:]
			idle++
		}
		for idle > 0 && len(queue) > 0 {
			idle--
			busy = append(busy, queue[0])
			queue = queue[1:]
		}
		computing := 0
		for i := range busy {
			if busy[i].sleep <= 0 {
				computing++
			}
		}
		share := tick
		if all := computing + l.others; all > l.cores {
			share = tick * time.Duration(l.cores) / time.Duration(all)
		}
		ended := 0
		for i := 0; i < len(busy); i++ {
			w := &busy[i]
			if w.sleep > 0 {
				w.sleep -= tick
				continue
			}
			if w.compute -= share; w.compute > 0 {
				continue
			}
			took := now - w.sent
			if now > second2+length/2 {
				latencies = append(latencies, took)
				r.done++
			}
			if answered < l.clients {
				r.longest = max(r.longest, took)
			}
			answered++
			took = (l.compute + l.sleep) * tick / share
			v.Busy += int64(took)
			if l.others > 0 || l.full {
				v.CPU, v.Full = v.CPU+int64(l.compute), true
			}
			v.Service = int64(took)
			busy = slices.Delete(busy, i, i+1)
			i--
			ended++
		}
		for i := range ended {
			refresh(now)
			v.Working += int32(ended - 1 - i) // one ends after the other
			if v.Full && len(queue) > 0 && v.Working > 0 && p.Surplus(int64(now), v) {
				continue
			}
			if len(queue) > 0 {
				busy = append(busy, queue[0])
				queue = queue[1:]
			} else {
				idle++
			}
		}
		for range ended {
			refresh(now)
			send(now)
		}
		if len(queue) > 0 && now-asked >= l.start/4 {
			asked = now
			want(now)
		}
	}
	r.last = len(starts) + len(busy) + idle
	slices.Sort(latencies)
	if n := len(latencies); n > 0 {
		r.p99 = latencies[n*99/100]
	}
	return r
}

const second2 = time.Second

func TestClientsOfAQuickFunctionShareWorkers(t *testing.T) {
	for _, ready := range []bool{false, true} {
		for _, start := range []time.Duration{35 * time.Millisecond, 400 * time.Millisecond, 1100 * time.Millisecond} {
			r := loop{clients: 64, cores: 2, compute: 300 * time.Microsecond, start: start, ready: ready}.run(8 * time.Second)
			if r.workers > 8 || r.p99 > 15*time.Millisecond {
				t.Errorf("start %v, known %v: %d workers, p99 %v, want 8 and 15 ms at most", start, ready, r.workers, r.p99)
			}
		}
	}
}

func TestThoseThatSleepGetWorkers(t *testing.T) {
	for _, ready := range []bool{false, true} {
		r := loop{clients: 64, cores: 2, sleep: time.Second, start: 400 * time.Millisecond, ready: ready}.run(20 * time.Second)
		if r.workers != 64 || r.longest > 2*time.Second {
			t.Errorf("known %v: %d workers, the longest of the first answers took %v: want 64, and two starts and a second at most", ready, r.workers, r.longest)
		}
	}
}

// TestFewerOnAFullMachine: workers that were started while the machine had room, or while their code was cold, end where
// fewer answer as much, and stay where they wait for others most of the time.
func TestFewerOnAFullMachine(t *testing.T) {
	computes := loop{clients: 64, cores: 2, compute: 7 * time.Millisecond, start: 200 * time.Millisecond, warm: 16, full: true}.run(30 * time.Second)
	if computes.last != 8 {
		t.Errorf("%d of 16 workers that compute are left, want 8, four for each core", computes.last)
	}
	waits := loop{clients: 64, cores: 3, compute: 3 * time.Millisecond, sleep: 20 * time.Millisecond, start: 200 * time.Millisecond, warm: 16, full: true}.run(30 * time.Second)
	if waits.last < 14 {
		t.Errorf("%d of 16 workers that wait for others are left, want 14 at least: fewer answer less", waits.last)
	}
}

// TestAFullMachine: beside others that take all cores, more workers of a function that computes would only take from
// these; one that sleeps gets what it needs.
func TestAFullMachine(t *testing.T) {
	r := loop{clients: 64, cores: 2, others: 20, compute: 300 * time.Microsecond, start: 400 * time.Millisecond}.run(8 * time.Second)
	if r.workers > 6 {
		t.Errorf("%d workers compute, want 6 at most", r.workers)
	}
	r = loop{clients: 64, cores: 2, others: 2, compute: 500 * time.Microsecond, sleep: time.Second, start: 400 * time.Millisecond}.run(20 * time.Second)
	if r.workers != 64 {
		t.Errorf("%d workers for 64 that sleep, want as many", r.workers)
	}
}

func TestABurstIsNotSerialized(t *testing.T) {
	r := loop{clients: 20, cores: 2, sleep: 2 * time.Second, start: time.Second}.run(20 * time.Second)
	if r.longest > 5*time.Second {
		t.Errorf("the longest of 20 parallel invocations of 2 s took %v with starts of 1 s", r.longest)
	}
}

func TestTheFirstWorkerStarts(t *testing.T) {
	v := view(0)
	v.Waiting = 1
	if !(&Ladder{}).Start(0, v) {
		t.Error("nobody works or starts, and no worker starts")
	}
}
