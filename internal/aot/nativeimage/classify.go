package nativeimage

import (
	"regexp"
	"strings"

	"github.com/cloudjit/cloudjit/internal/aot"
)

// Exit codes of native-image (com.oracle.svm.core.util.ExitStatus), and of a JVM that was told to
// exit when its heap is full.
const (
	exitHeapFull    = 3
	exitOutOfMemory = 4
	exitKilled      = 137
)

// rule is one kind of message and what it means. The first that matches decides.
type rule struct {
	pattern *regexp.Regexp
	class   aot.Class
}

var rules = []rule{
	{regexp.MustCompile(`(?m)^.*(java\.lang\.OutOfMemoryError|GC overhead limit exceeded|insufficient memory for the Java Runtime|[Rr]an out of memory|Cannot allocate memory|errno=12).*$`), aot.ClassMemory},
	{regexp.MustCompile(`(?m)^.*(No space left on device|Disk quota exceeded|Read-only file system).*$`), aot.ClassTool},
	{regexp.MustCompile(`(?m)^.*(Error parsing .*(?:reachability-metadata|-config)\.json|JSONParserException|Error parsing reflection configuration).*$`), aot.ClassMetadata},
	{regexp.MustCompile(`(?m)^.*(collect2: error|cannot find -l|Linker command exited|ld returned|Unable to (?:find|compile C)).*$`), aot.ClassTool},
	{regexp.MustCompile(`(?m)^.*(A fatal error has been detected by the Java Runtime|Unrecognized option|Could not create the Java Virtual Machine|Fatal error: .*(?:VMError|GraalError|AssertionError)|UnsatisfiedLinkError).*$`), aot.ClassTool},
	// What the application is made of does not fit together or cannot be compiled.
	{regexp.MustCompile(`(?m)^.*(Main entry point class|Could not find (?:main|option)|UnsupportedFeatureException|[Uu]nsupported features in|Discovered unresolved|Class initialization of .* failed|was unintentionally initialized|found in the image heap|NoClassDefFoundError|ClassNotFoundException|UnresolvedElementException|UnsupportedClassVersionError).*$`), aot.ClassUser},
	{regexp.MustCompile(`(?m)^(?:Error|Caused by|Exception in thread "main"|.*\.java:\d+: error): ?.*$`), aot.ClassUser},
}

// classify tells from how a tool ended, and from the end of its log, whose fault it is; the
// reason is the line that tells most, empty if there is none.
func classify(e ending, log string) (aot.Class, string) {
	if e.outOfMemory || e.code == exitKilled || e.killed {
		// Nobody but the kernel kills a builder whose context has not ended.
		return aot.ClassMemory, ""
	}
	for _, r := range rules {
		if line := r.pattern.FindString(log); line != "" {
			return r.class, reasonOf(line, log)
		}
	}
	if e.code == exitOutOfMemory || e.code == exitHeapFull {
		return aot.ClassMemory, ""
	}
	return aot.ClassTool, lastLine(log)
}

var errorLine = regexp.MustCompile(`(?m)^(?:Error|Fatal error): ?(.+)$`)

// reasonOf prefers native-image's own "Error:" line to the one that a rule found.
func reasonOf(line, log string) string {
	if m := errorLine.FindStringSubmatch(log); m != nil {
		return shorten(m[1])
	}
	return shorten(line)
}

func lastLine(log string) string {
	lines := strings.Split(strings.TrimSpace(log), "\n")
	return shorten(lines[len(lines)-1])
}

func shorten(line string) string {
	const longest = 400 // bytes; the whole log is kept beside it
	line = strings.TrimSpace(line)
	if len(line) > longest {
		line = strings.ToValidUTF8(line[:longest], "") + "..."
	}
	return line
}
