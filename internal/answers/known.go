package answers

import (
	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/ladder"
)

// Difference is an answer of a rung that is known to be another one than HotSpot's.
type Difference struct {
	// Feature is the name of one, or a pattern as path.Match has them.
	Feature string
	Rung    function.Rung
	// Why is what users are told.
	Why string
}

// Known are all differences that are documented. An entry that does not occur any more fails the corpus.
var Known = []Difference{
	{Feature: "properties/java-vm-info", Rung: ladder.Snapshot, Why: "java.vm.info names the compilers: workers of snapshots have both, those of handlers on HotSpot the first one alone"},
}
