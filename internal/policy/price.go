package policy

import (
	"time"

	"github.com/cloudjit/cloudjit/internal/ladder"
)

// All that Ladder weighs is in MB*s, the memory of an idle worker over time.
const (
	// cpuPrice is a second of CPU time. AWS Fargate asks 0.04048 $ for an hour of a vCPU and 0.004445 $ for
	// one of a GB: 9.1 GB*s; Google Cloud Run 24 and 2.5 millionths of a $ for a second: 9.6 GB*s.
	cpuPrice = 9000.0
	// waitPrice10 is a second in which somebody waits, where the keep-alive is ten minutes. It was chosen by
	// simulating day 1 of the Azure trace (500 functions, seed 1): the least that brought the waits down by two
	// thirds. At 2.5 millionths of a $ for a GB*s it is 8 $ for an hour of waiting. The keep-alive itself says
	// less: 600 s of 140 MB to save 1.1 s are 76 GB*s a second.
	waitPrice10 = 900e3
	// startCPU is the CPU time of a start for each second that it takes: a JVM compiles beside.
	startCPU = 1.5
	// idleAfterBurst is how long (s) a worker that a burst started is idle afterwards.
	idleAfterBurst = 30.0
	// debtShare is the share of a new worker's price that the waiting of one burst must have reached: it
	// serves some three bursts.
	debtShare = 0.3
	// leastAge is the shortest time (s) that rates are taken over.
	leastAge = 600.0
)

// waitPrices is the price of a second of waiting, MB*s: in proportion to the keep-alive, by which
// users say what memory is worth to them against waiting.
func waitPrices(v *View) float64 {
	return waitPrice10 * float64(v.Params.KeepAlive) / float64(10*time.Minute)
}

// pricesOf are those of a worker of a rung.
//
// Worked example, aot-cache at 100 MB: a start takes 0.396 s, so a missing worker costs 0.396*900e3 =
// 356 GB*s of waiting and 0.396*1.5*9000 = 5.3 GB*s of CPU time; a second of an idle one 0.1 GB*s.
func pricesOf(v *View, rung ladder.ID) prices {
	r := &v.Rungs[rung]
	takes := seconds(r.Start)
	return prices{
		memory: r.MemoryMB, takes: takes, limit: seconds(v.Params.KeepAlive),
		wait: takes * waitPrices(v), start: takes * startCPU * cpuPrice,
		first: takes * max(r.Warming, 0) * waitPrices(v),
	}
}

// buildPrice is what an artifact costs: a binary of 150 CPU s and 2000 MB for 128 s 1.35e6 + 0.26e6 MB*s. Its
// check comes on top: 2.7 CPU s and 65 MB for 3 s are 0.02e6.
func buildPrice(r *ladder.Rung) float64 {
	return (r.Cost.CPU+r.Check.CPU).Seconds()*cpuPrice + memoryTime(r)
}

// makePrice is what it takes until a rung's artifact is there, with the one that records for it where that has to be
// made first.
func makePrice(v *View, rung ladder.ID) float64 {
	r := &v.Ladder.Rungs[rung]
	cost := buildPrice(r)
	if by := v.Ladder.Recorder(r.Also); by != ladder.First && !v.Recorded[r.Also] && !v.Rungs[by].Ready {
		cost += buildPrice(&v.Ladder.Rungs[by])
	}
	return cost
}

// memoryTime is what making and checking an artifact takes in memory, MB*s.
func memoryTime(r *ladder.Rung) float64 {
	return r.Cost.MemoryMB*r.Cost.Wall.Seconds() + r.Check.MemoryMB*r.Check.Wall.Seconds()
}

// A function computes if its CPU time says so after so many invocations and so much time of theirs: before, its
// time goes into code that is cold. One that takes less than five milliseconds of CPU time each spends them on the
// way in and out; and where they take less than two, what was measured of the rungs says how busy the machine was then.
const (
	computesAfter = 64
	computesFor   = int64(5 * time.Second)
	computesLeast = int64(5 * time.Millisecond)
	timedLeast    = int64(2 * time.Millisecond)
)

// doubts is how many standard errors what was measured of a rung's speed may be off. What functions are asked varies, by a factor of two and
// more for some: of a hundred invocations each, one rung would seem a sixth slower than the other by chance.
const doubts = 2

// Speed is the duration of an invocation on a rung against the first one's. Until it was measured it is taken to be that of the
// highest rung with the same kind of artifact that was, else of the first one, and only the share that computes is expected to
// change: CPU time over the time of invocations. What varies in what was measured is so no reason to make another of that kind.
// Of what was measured, that counts which is nearest to what is expected, within doubts: it is no reason for anything, either, if it may
// be chance.
func (v *View) Speed(rung ladder.ID) float64 {
	if v.Invocations < computesAfter || v.Busy < computesFor {
		return 1
	}
	each := v.CPU / int64(v.Invocations)
	if v.CPU > 0 && each < timedLeast {
		return 1
	}
	share := 0.0
	if each >= computesLeast {
		share = min(float64(v.CPU)/float64(v.Busy), 1)
	}
	expected := func(i ladder.ID) float64 { return 1 + share*(v.Ladder.Rungs[i].Speed-1) }
	measured := func(i ladder.ID) float64 {
		r := &v.Rungs[i]
		return min(max(expected(i), r.Speed-doubts*r.Doubt), r.Speed+doubts*r.Doubt)
	}
	if v.Rungs[rung].Timed {
		return measured(rung)
	}
	speed := expected(rung)
	for i := range v.Rungs {
		if i := ladder.ID(i); v.Rungs[i].Timed && v.Ladder.Rungs[i].Artifact == v.Ladder.Rungs[rung].Artifact {
			speed = measured(i) * expected(rung) / expected(i)
		}
	}
	return speed
}

// Outclassed reports whether a warm worker of a rung is worth a new one of another: a binary, which needs no warming; or what
// takes a quarter less memory by the ladder's figures (what one restored from a snapshot shares with others it loses as it
// writes), or a tenth less time. What only starts sooner is of no use to one that has started.
func (v *View) Outclassed(rung, by ladder.ID) bool {
	is, was := &v.Ladder.Rungs[by], &v.Ladder.Rungs[rung]
	return is.Artifact == ladder.ArtifactBinary || is.Memory < 0.75*was.Memory || v.Speed(by) < 0.9*v.Speed(rung)
}

// fastest is the least duration of an invocation on any rung, against the first rung's.
func (v *View) fastest() float64 {
	least := v.Speed(ladder.First)
	for i := range v.Rungs {
		if v.Ladder.Rungs[i].Serves() {
			least = min(least, v.Speed(ladder.ID(i)))
		}
	}
	return least
}

// rate is what a second costs with new workers of a rung, MB*s: idle workers, waits and starts as
// planned; memory and CPU time of invocations; and what they take longer than on the fastest rung, as waiting.
//
// Worked example: 10 invocations a second of 20 ms each and a binary that takes three times as long as C2:
// 0.4 s a second more, for 0.4*(900e3+9000) = 364e3; what it could save at most is the memory of an idle worker, 62.
func (h *habit) rate(now int64, v *View, rung ladder.ID) float64 {
	c := pricesOf(v, rung)
	r := &v.Rungs[rung]
	age := max(seconds(now-v.Added), leastAge)
	var scratch plan
	// The first invocation says only that there is a function, not how often it is invoked.
	arrivals := float64(v.Invocations) / age
	if v.Invocations <= 1 {
		arrivals = 0
	}
	cost := arrivals * scratch.make(&h.gaps, &c, timers)
	cost += float64(h.spares) / age * scratch.make(&h.spare, &c, anything)
	// Busy was measured on the rungs that there were, the present one for the most part.
	busy := seconds(v.Busy) / age / max(v.Speed(h.next(v)), 1e-3)
	speed := v.Speed(rung)
	cost += busy * speed * (r.MemoryMB + cpuPrice)
	return cost + busy*max(speed-slower*v.fastest(), 0)*waitPrices(v)
}
