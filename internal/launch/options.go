package launch

import (
	"strconv"
	"strings"
)

// commonOptions go to every JVM of a worker: it is small, and one of many.
var commonOptions = []string{
	// Workers are small and many: the serial collector has the least threads and memory.
	"-XX:+UseSerialGC",
	// No memory-mapped counters in /tmp.
	"-XX:-UsePerfData",
	// What the program prints is UTF-8 whatever the image's locale.
	"-Dstdout.encoding=UTF-8",
	"-Dstderr.encoding=UTF-8",
}

// quickCompiler is AWS Lambda's own choice for Java 17 and newer: the first compiler only. It starts sooner
// and in less memory than both, and costs peak speed, which a function that computes needs
// (ladder.OptionsC2, or JAVA_TOOL_OPTIONS=-XX:TieredStopAtLevel=4).
var quickCompiler = []string{"-XX:TieredStopAtLevel=1"}

var handlerOptions = []string{"-Djava.net.preferIPv4Stack=true"}

// heapOptions bound the heap so that heap and everything else of the JVM stay below the
// sandbox's limit, where the kernel kills without a word.
func heapOptions(memoryMiB int) []string {
	if memoryMiB <= 0 {
		return nil
	}
	return []string{"-Xmx" + strconv.Itoa(heapMiB(memoryMiB)) + "m"}
}

// heapMiB leaves a quarter, but 56 MiB at least and 1 GiB at most, to metaspace, code, stacks and
// buffers: 128 -> 72, 512 -> 384, 10240 -> 9216.
func heapMiB(memoryMiB int) int {
	return memoryMiB - min(max(memoryMiB/4, 56), 1024)
}

// savedHeap lets the heap of a worker that is saved be hardly larger than what is in it: it begins small, and the collection
// before the worker is saved shrinks it at once, and not in steps. What had been garbage would be in every copy. The bounds of what is free after
// a collection stay the JVM's own (40 to 70 %): with 10 to 15 %, a copy gave back after each collection what its next invocation took
// again. An invocation that allocates 13 MB took 9 ms instead of 2.5.
//
// No large pages (-XX:+UseTransparentHugePages): where the memory of a worker is not in the machine's caches, or a virtual machine has yet to get it from its host, clearing
// 2 MiB at once takes longer than it saves. Of a replay's cold starts of copies, a quarter took more than 66 ms so, and 42 ms without.
var savedHeap = []string{"-Xms8m", "-XX:-ShrinkHeapInSteps"}

// nativeHeapMiB leaves an eighth, but 24 MiB at least: a binary has no metaspace, no compiler
// and no profiles, and its code is shared file memory. 128 -> 104, 512 -> 448, 1024 -> 896.
func nativeHeapMiB(memoryMiB int) int {
	return max(memoryMiB-min(max(memoryMiB/8, 24), 512), 16)
}

// nativeHeapOptions are the sizes of a binary's heap and young generation, of which a worker that has served some thousand
// invocations has touched all. The default is a tenth of the heap, with which an idle worker of 512 MiB keeps 45 MiB of garbage
// (72 MiB resident instead of 29, orders after 5,000 invocations). A collection of what one invocation leaves takes 0.2 ms.
//
// A binary with a profile is for functions that compute: it has a young generation that is up to eight times as large, and collects
// less often. All that survives a collection goes to its old generation, which is collected when the heap is larger than -Xms.
func nativeHeapOptions(heapMiB int, profiled bool) []string {
	young := min(max(heapMiB/64, 8), 64) // 448 -> 8, 1024 -> 16
	options := []string{"-Xmx" + strconv.Itoa(heapMiB) + "m"}
	if profiled {
		young = min(max(heapMiB/8, 8), 64) // 104 -> 13, 224 -> 28, 448 -> 56
		options = append(options, "-Xms"+strconv.Itoa(min(young+16, heapMiB))+"m")
	}
	return append(options, "-Xmn"+strconv.Itoa(young)+"m")
}

// options are what the user gave in JAVA_TOOL_OPTIONS, which the JVM reads before its command
// line: a default of ours on the command line would silently win, or clash.
type options struct {
	given map[string]bool
}

func userOptions(environment map[string]string) options {
	o := options{given: map[string]bool{}}
	for _, option := range ToolOptions(environment) {
		o.given[optionName(option)] = true
	}
	return o
}

// ToolOptions are the JVM options of a function's JAVA_TOOL_OPTIONS, as a JVM takes them apart: at white space that is not
// in quotes (https://docs.oracle.com/en/java/javase/25/docs/specs/jvmti.html#tooloptions).
func ToolOptions(environment map[string]string) []string {
	var all []string
	var option strings.Builder
	begun, quote := false, rune(0)
	for _, c := range environment["JAVA_TOOL_OPTIONS"] {
		switch {
		case quote != 0 && c == quote:
			quote = 0
		case quote == 0 && (c == '"' || c == '\''):
			quote, begun = c, true
		case quote == 0 && strings.ContainsRune(" \t\n\v\f\r", c):
			if begun {
				all = append(all, option.String())
			}
			option.Reset()
			begun = false
		default:
			option.WriteRune(c)
			begun = true
		}
	}
	if begun {
		all = append(all, option.String())
	}
	return all
}

// nativeOptions are those of a JVM's options that a binary takes too: properties, and sizes. All others are HotSpot's own
// (an unknown -XX ends a binary, and what it does not know reaches the program as an argument).
func nativeOptions(all []string) []string {
	var out []string
	for _, option := range all {
		for _, prefix := range []string{"-D", "-Xmx", "-Xms", "-Xmn", "-Xss"} {
			if strings.HasPrefix(option, prefix) && len(option) > len(prefix) {
				out = append(out, option)
				break
			}
		}
	}
	return out
}

// defaults returns the options of the groups that the user did not decide.
func (o options) defaults(groups ...[]string) []string {
	var out []string
	for _, group := range groups {
		for _, option := range group {
			if !o.given[optionName(option)] {
				out = append(out, option)
			}
		}
	}
	return out
}

// optionName is what two options have in common that decide the same thing.
func optionName(option string) string {
	switch {
	case strings.HasPrefix(option, "-Xmx"), strings.HasPrefix(option, "-mx"),
		strings.HasPrefix(option, "-XX:MaxHeapSize="), strings.HasPrefix(option, "-XX:MaxRAMPercentage="):
		return "heap"
	case strings.HasPrefix(option, "-Xms"), strings.HasPrefix(option, "-ms"),
		strings.HasPrefix(option, "-XX:InitialHeapSize="), strings.HasPrefix(option, "-XX:InitialRAMPercentage="):
		return "initial heap"
	case strings.HasPrefix(option, "-XX:+Use") && strings.HasSuffix(option, "GC"):
		return "collector"
	case option == "-Xint", option == "-Xmixed", option == "-Xcomp", option == "-XX:-TieredCompilation", option == "-XX:+TieredCompilation",
		strings.HasPrefix(option, "-XX:TieredStopAtLevel="):
		return "compiler"
	}
	name, _, _ := strings.Cut(option, "=")
	name = strings.Replace(name, "-XX:-", "-XX:", 1)
	return strings.Replace(name, "-XX:+", "-XX:", 1)
}
