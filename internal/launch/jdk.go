package launch

import (
	"cmp"
	"fmt"
	"slices"
)

// minimumJava is what the runtime client and the tracer need.
const minimumJava = 17

// JDK is one Java runtime of the machine.
type JDK struct {
	// Home is its folder on the host.
	Home string
	// Version is the feature release: 17, 21, 25.
	Version int
	// Agent is true where native-image-agent is part of it (a GraalVM distribution).
	Agent bool
	// Links are folders outside Home that its files point into (Debian keeps configuration in
	// /etc/java-N-openjdk); they are shown at the same place inside.
	Links []string
}

// SelectJDK returns the newest JDK that runs class files of the release need (0: any). Java is
// upwards compatible, so the newest is the best. Of equal ones the first wins.
func SelectJDK(jdks []JDK, need int) (JDK, error) {
	newest := slices.MaxFunc(append([]JDK{{}}, jdks...), func(a, b JDK) int {
		return cmp.Compare(a.Version, b.Version)
	})
	if want := max(need, minimumJava); newest.Version < want {
		if newest.Version == 0 {
			return JDK{}, fmt.Errorf("%w: install one of Java %d or newer", ErrNoJava, want)
		}
		return JDK{}, fmt.Errorf("the code needs Java %d, and the newest JDK here is %d: install a newer one", want, newest.Version)
	}
	return newest, nil
}
