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
	{Feature: "language/match-without-case", Rung: ladder.Native, Why: "a message of an exception that could be told at build time says that it was made then"},
	{Feature: "reflection/method-missing", Rung: ladder.Native, Why: "a message of an exception that could be told at build time says that it was made then"},
	{Feature: "handles/method-missing", Rung: ladder.Native, Why: "a message of an exception that could be told at build time says that it was made then, and does not name its cause"},
	{Feature: "language/enum-unknown", Rung: ladder.Native, Why: "the message of an unknown enum constant names a nested enum with $ in place of a dot"},
	{Feature: "language/null-pointer-message", Rung: ladder.Native, Why: "a null pointer has no helpful message"},
	{Feature: "reflection/wrong-argument", Rung: ladder.Native, Why: "the message of a reflective call with arguments of other types is another one"},
	{Feature: "reflection/order-of-methods", Rung: ladder.Native, Why: "getDeclaredMethods has another order; no order is promised"},
	{Feature: "reflection/order-of-constructors", Rung: ladder.Native, Why: "getDeclaredConstructors has another order; no order is promised"},
	{Feature: "services/jdk", Rung: ladder.Native, Why: "the list of file system providers has the one of the image in place of the one of the JDK (jrt)"},
	{Feature: "locale/available", Rung: ladder.Native, Why: "getAvailableLocales lists those that the image has: what was traced, configured, or is in the program"},
	{Feature: "locale/week", Rung: ladder.Native, Why: "a calendar of a locale that the image has not is the Gregorian one"},
	{Feature: "text/thai-words", Rung: ladder.Native, Why: "there is no dictionary for the words of Thai"},
}
