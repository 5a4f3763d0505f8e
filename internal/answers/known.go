package answers

import (
	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/ladder"
)

// Difference is an answer of a rung that is known to be another one than HotSpot's.
type Difference struct {
	// Feature is the name of one, or a pattern as path.Match has them.
	Feature string
	// Rung that answers so; of the first one with a binary: all that have one.
	Rung function.Rung
	// Untraced: only where nothing but the start was recorded.
	Untraced bool
	// Why is what users are told.
	Why string
}

// Known are all differences that are documented. An entry that does not occur any more fails the corpus.
var Known = []Difference{
	{Feature: "properties/java-vm-info", Rung: ladder.SnapshotC2, Why: "java.vm.info names the compilers: there are both, and on HotSpot the first one alone"},
	{Feature: "handles/method-missing", Rung: ladder.Native, Why: "a look-up of a method handle with constant names that fails has no cause"},
	{Feature: "language/null-pointer-message", Rung: ladder.Native, Why: "a null pointer has no helpful message"},
	{Feature: "reflection/order-of-methods", Rung: ladder.Native, Why: "getDeclaredMethods has another order; no order is promised"},
	{Feature: "reflection/order-of-constructors", Rung: ladder.Native, Why: "getDeclaredConstructors has another order; no order is promised"},
	{Feature: "files/providers", Rung: ladder.Native, Why: "the list of file system providers has the one of the image in place of the one of the JDK (jrt)"},
	{Feature: "files/runtime-image", Rung: ladder.Native, Why: "the classes of the JDK are no files (jrt) in a binary"},
	{Feature: "resources/folder", Rung: ladder.Native, Untraced: true, Why: "a folder of the archive has only the files that classes name, if nobody listed it while the function was traced"},
	{Feature: "management/thread-name", Rung: ladder.Native, Why: "ThreadMXBean.getThreadInfo gives null"},
	{Feature: "management/flight-recorder", Rung: ladder.Native, Why: "there is no Flight Recorder, and it says so"},
	{Feature: "properties/java-home", Rung: ladder.Native, Why: "a worker with a binary has no JDK; java.home is the folder of the binary"},
	{Feature: "properties/java-vendor*", Rung: ladder.Native, Why: "another virtual machine, with names of its own"},
	{Feature: "properties/java-vm-name", Rung: ladder.Native, Why: "another virtual machine, with names of its own"},
	{Feature: "properties/java-vm-info", Rung: ladder.Native, Why: "another virtual machine, with names of its own"},
	{Feature: "properties/java-vm-compressedOopsMode", Rung: ladder.Native, Why: "a property of HotSpot alone"},
	{Feature: "properties/sun-management-compiler", Rung: ladder.Native, Why: "a binary has no compiler"},
	{Feature: "services/jdk", Rung: ladder.Native, Why: "the list of file system providers has the one of the image in place of the one of the JDK (jrt)"},
}
