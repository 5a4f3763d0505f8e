//go:build !amd64

package machine

// TSC is the frequency of the processor's time stamp counter, kHz; 0: there is none.
func TSC() int { return 0 }
