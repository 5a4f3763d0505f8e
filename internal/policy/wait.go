package policy

import (
	"math"
	"time"
)

// waiting decides whether an invocation waits for a busy worker or gets a new one: Ladder's Start. Its state is by
// revision.
//
// A worker is added for one of three reasons:
//
//   - It will be there sooner than a busy one is free: of n working ones one is free every service/n, so
//     the last of q that wait has its turn after q*service/n. With 13 workers of 195 ms one
//     is free every 15 ms: nobody starts a binary in 35 ms for that. With one worker of 2 s, the second
//     of a burst would wait 2 s: it starts.
//   - The first of those that wait has waited as long as a start takes: the estimate was wrong, and is
//     doubted from then on.
//   - All waiting since the last start adds up to more than a start is worth: a new worker serves
//     those that come after, too. As in the ski-rental problem, that costs at most twice what knowing the
//     future would.
//
// The third could go on for ever where a function computes: n workers on c cores take n/c times as long each,
// and one more brings nothing. So beyond a few workers each third more has to prove itself: throughput,
// n/service, must rise by half of that at least. If not, no more are added for half a minute, then
// longer and longer. On a machine whose cores have no moment free there is nothing to prove: more workers of a
// function that takes part in that only get smaller shares. One that waits for others, and takes
// little of the cores with all its workers, goes on to get more.
//
// A machine becomes full after workers were started: each of them looked slow while its code was cold, or was
// started for a crowd. So on a full machine it is tried whether a third fewer answer as many invocations a second: fewer
// share the caches, and are switched between less often. If they do, the next third is tried; if not, they come back.
type waiting struct{ crowds []crowd }

// crowd is what is known of a revision's workers together.
type crowd struct {
	// debt is what invocations have waited since the last start, ns; asked is when it was last added to.
	debt, asked int64
	// busy, cpu and done are Busy, CPU and the invocations done at since (ns), when the number of workers last
	// became workers.
	busy    int64
	cpu     int64
	since   int64
	done    uint64
	workers int32
	// before is how many there were when throughput (invocations a second, or cores) was measured; 0: never.
	before     int32
	throughput float64
	// limit is the number of workers not to exceed until then (ns); tries is how often in a row that was found.
	limit int32
	tries uint8
	until int64
	// doubt is by what factor waits turned out longer than service times say; 0: nothing was asked yet.
	doubt float64
	// fewer is how many workers there were before a third of them was stopped, and rate the most answers a second that
	// were measured until then; 0: none was. counted invocations had been done at from (ns), when fit workers began to be measured. Nothing is tried before rest (ns).
	fewer   int32
	rate    float64
	fit     int32
	counted uint64
	from    int64
	rest    int64
	// begun is since when some have waited, with pauses below forget, while service times were known, ns.
	begun int64
}

const (
	// few is how many workers a function may have before one more has to prove itself, and how many start at once while
	// nothing is known of it.
	few = 6
	// perCore is how many workers for each core a function may have on a machine that is full: one of them waits for its
	// turn while another one computes. fewCores are assumed where their number is not known.
	perCore, fewCores = 2, 2
	// spare is how many times as many are left to one that has more: where invocations take less than their way through the
	// server does, that has then several of them to look after at once. 64 clients of one that takes 0.1 ms, two cores: 160 us of CPU
	// time an invocation with 4 workers, 139 with 8, 156 with 16, 179 with 44 (-bench CrowdByWorkers ./internal/server).
	spare = 2
	// part is how many cores a function must keep busy to be one of those that make a machine full.
	part = 0.15
	// settled is how many invocations must be done to measure the throughput of a number of workers.
	settled = 64
	// holdOff is how long (ns) a limit holds at first; it doubles up to 16 minutes.
	holdOff = int64(30e9)
	// cpuSettled is how long (ns) cores are counted: CPU time is told once a second.
	cpuSettled = int64(2500e6)
	// patience is how long (ns) the first of those that wait has to wait at least for a worker beyond a limit: where more
	// were of no use, waits of some hundred milliseconds say nothing new, and a start may take less.
	patience = int64(time.Second)
	// forget is after how much quiet (ns) waiting is forgotten.
	forget = int64(10e9)
	// While nothing is known, few more may start for each 1/steady of a start's time in which invocations
	// kept arriving: that is traffic, and not a number of clients that each wait for their answer. Not in the first
	// 1/gathering of a start's time: clients that begin together do not all arrive in one moment.
	steady, gathering = 16, 4
	// asMany is what share of the answers a second fewer workers have to give to be as good: rates vary.
	asMany = 0.95
	// inLong: a busy worker is more likely in a long invocation than in a short one, so its time to the end is
	// longer than service times say: the inspection paradox.
	inLong = 3.5
	// Wrong estimates double the doubt in them up to mostDoubt, each other one lessens it by a hundredth.
	mostDoubt, believe = 64, 0.99
	// unsure is how much more is doubted after one invocation; it falls by the root of their number.
	unsure = 8
	// dear is how long (ns) a start takes for which that counts with many workers, too: a wrong guess costs as much.
	dear = int64(100e6)
)

// start reports whether one more worker starts. worth is the wait (ns) that it is worth; arrived: it is
// asked for an invocation that arrives now, and not again for one that waits.
func (p *waiting) start(now int64, v *View, rung *RungView, worth int64, arrived bool) bool {
	n := v.Working + v.Starting
	takes := max(rung.Start, 1)
	waited := now - v.Oldest
	switch {
	case n == 0:
		return true
	case v.Service == 0:
		return unknown(v, n, waited, takes, arrived)
	}
	c := of(&p.crowds, v.Revision)
	limited, unproven := c.judge(now, v, n)
	if c.doubt == 0 {
		c.doubt, c.asked = 1, -forget-1
	}
	if now-c.asked > forget {
		c.begun, c.debt = now, 0
	}
	c.asked = now
	waited = min(waited, now-c.begun)
	if waited >= max(2*takes, patience) || !limited && waited >= takes {
		c.doubt = min(2*c.doubt, mostDoubt)
		c.debt = 0
		return true
	}
	turn := float64(v.Waiting) * float64(v.Service) / float64(n)
	doubt := inLong * c.doubt
	if n < few || takes >= dear {
		doubt *= 1 + unsure/math.Sqrt(float64(done(v)+1))
	}
	c.doubt = max(c.doubt*believe, 1)
	if !limited && turn*doubt > float64(takes) {
		c.debt = 0
		return true
	}
	c.debt += int64(turn)
	if limited || unproven || c.debt < worth*int64(1+v.Starting) {
		return false
	}
	c.debt = 0
	return true
}

// unknown is start while no invocation of the revision has ended.
func unknown(v *View, n int32, waited, takes int64, arrived bool) bool {
	if v.Working > 0 {
		// They work, and more arrive; or they have worked for a while and none has ended.
		return arrived || n < few || waited >= takes+takes/4
	}
	allowed := int64(few)
	if arrived {
		allowed += few * (steady * max(waited-takes/gathering, 0) / takes)
	}
	return int64(n) < allowed
}

// idle reports whether an idle worker is one of more than bring anything.
func (p *waiting) idle(now int64, v *View) bool {
	if int(v.Revision) >= len(p.crowds) {
		return false
	}
	c := &p.crowds[v.Revision]
	return now < c.until && v.Working+v.Idle >= c.limit
}

// surplus reports whether a worker that is free ends though invocations wait: Ladder's Surplus.
func (p *waiting) surplus(now int64, v *View) bool {
	n := v.Working + 1
	if n <= spare*enough(v) || v.Starting > 0 || !fills(v, n) {
		return false
	}
	c := of(&p.crowds, v.Revision)
	if c.fewer > 0 && n > c.limit && now < c.until {
		return true
	}
	if c.fit != n {
		c.fit, c.counted, c.from = n, done(v), now
		return false
	}
	ended, took := done(v)-c.counted, now-c.from
	if now < c.rest || ended < settled || took < cpuSettled {
		return false
	}
	rate := float64(ended) / seconds(took)
	c.fit = 0
	if c.fewer > n && rate < c.rate*asMany {
		c.limit, c.fewer = c.fewer, 0
		c.hold(now)
		c.rest = c.until
		return false
	}
	if c.fewer > n {
		rate = max(rate, c.rate) // one small loss after the other would be a great one
	}
	c.fewer, c.rate = n, rate
	c.limit, c.until = max(n-(n+2)/3, spare*enough(v)), now+holdOff
	return true
}

// done is how many invocations have ended.
func done(v *View) uint64 { return v.Invocations - uint64(v.Waiting) - uint64(v.Working) }

// judge measures the throughput of n workers. limited: more than n were of no use; unproven: whether the
// last ones were is not known yet.
func (c *crowd) judge(now int64, v *View, n int32) (limited, unproven bool) {
	if now < c.until {
		return n >= c.limit, false
	}
	if n >= enough(v) && v.Full && fills(v, n) {
		c.limit, c.before = n, 0
		c.hold(now)
		return true, false
	}
	if n < few || c.before > 0 && n < more(c.before) {
		return false, false
	}
	if c.workers != v.Working {
		c.workers, c.busy, c.done, c.cpu, c.since = v.Working, v.Busy, done(v), v.CPU, now
	}
	ended := done(v) - c.done
	if v.Starting > 0 || ended < settled || v.Busy <= c.busy || v.CPU > 0 && now-c.since < cpuSettled {
		return false, true
	}
	throughput := float64(n) * float64(ended) / seconds(v.Busy-c.busy)
	if v.CPU > c.cpu {
		// The cores that they keep busy: they say the same of what computes, and do not rise as code gets warm.
		throughput = float64(n) * float64(v.CPU-c.cpu) / float64(v.Busy-c.busy)
	}
	if c.limit > 0 && n >= c.limit && throughput > c.throughput*0.8 && throughput < c.throughput*1.25 {
		c.hold(now) // nothing has changed
		c.workers = 0
		return true, false
	}
	if c.before > 0 && n > c.before {
		half := 1 + float64(n-c.before)/float64(c.before)/2
		if throughput < c.throughput*half {
			c.limit = n
			c.hold(now)
			c.before = 0
			return true, true
		}
		c.tries = 0
	}
	c.before, c.throughput = n, throughput
	return false, false
}

// hold lets a limit stand for a while, longer each time.
func (c *crowd) hold(now int64) {
	c.until = now + holdOff<<min(c.tries, 5)
	c.tries = min(c.tries+1, 5)
}

// fills reports whether n workers are among what makes the machine full.
func fills(v *View, n int32) bool { return float64(n)*float64(v.CPU) > part*float64(v.Busy) }

// enough is how many workers of one function make a machine full.
func enough(v *View) int32 { return perCore * max(v.Cores, fewCores) }

// more is a third more workers.
func more(n int32) int32 { return n + (n+2)/3 }
