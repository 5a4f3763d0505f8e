package machine

import "time"

func rdtsc() uint64

// tscTime is how long the time stamp counter is watched: the clock is read within some 100 ns at either end.
const tscTime = 20 * time.Millisecond

// TSC is the frequency of the processor's time stamp counter, kHz, measured in 20 ms; 0: there is none.
func TSC() int {
	begin, from := readTSC()
	time.Sleep(tscTime)
	end, to := readTSC()
	return int(float64(to-from) / end.Sub(begin).Seconds() / 1000)
}

// readTSC reads the counter and the clock at the same time, as near as some tries bring them.
func readTSC() (at time.Time, ticks uint64) {
	best := ^uint64(0)
	for range 20 {
		before := rdtsc()
		now := time.Now()
		if after := rdtsc(); after-before < best {
			best, at, ticks = after-before, now, before+(after-before)/2
		}
	}
	return at, ticks
}
