package metadata

import "strings"

// imageBeans are a native image's own management beans, by which JMX finds their attributes.
// They stand for the beans of HotSpot that a trace has.
var imageBeans = []string{
	"com.oracle.svm.core.code.CodeCacheManagerMXBean",
	"com.oracle.svm.core.code.CodeCachePoolMXBean$CodeAndDataPool",
	"com.oracle.svm.core.code.CodeCachePoolMXBean$NativeMetadataPool",
	"com.oracle.svm.core.genscavenge.CompleteGarbageCollectorMXBean",
	"com.oracle.svm.core.genscavenge.GenScavengeMemoryPoolMXBeans$EdenMemoryPoolMXBean",
	"com.oracle.svm.core.genscavenge.GenScavengeMemoryPoolMXBeans$OldGenerationMemoryPoolMXBean",
	"com.oracle.svm.core.genscavenge.GenScavengeMemoryPoolMXBeans$SurvivorMemoryPoolMXBean",
	"com.oracle.svm.core.genscavenge.HeapImplMemoryMXBean",
	"com.oracle.svm.core.genscavenge.IncrementalGarbageCollectorMXBean",
	"com.oracle.svm.core.jdk.management.SubstrateClassLoadingMXBean",
	"com.oracle.svm.core.jdk.management.SubstrateCompilationMXBean",
	"com.oracle.svm.core.jdk.management.SubstrateRuntimeMXBean",
	"com.oracle.svm.core.jdk.management.SubstrateThreadMXBean",
}

// fontHandles are what JDK 25 reads glyphs with (sun.font.StrikeCache: handles of memory segments).
// HotSpot makes such handles itself; an image looks their methods up by name.
func fontHandles(add func(typ, method string)) {
	for name, carrier := range map[string]string{"Bytes": "byte", "Shorts": "short", "Ints": "int", "Longs": "long", "Floats": "float"} {
		for _, aligned := range []string{"", "Aligned"} {
			typ := "java.lang.invoke.VarHandleSegmentAs" + name + aligned
			add(typ, "get(java.lang.invoke.VarHandle,java.lang.Object,long)")
			add(typ, "set(java.lang.invoke.VarHandle,java.lang.Object,long,"+carrier+")")
		}
	}
}

// ForImage returns what a native image needs for what a trace of HotSpot has: classes that only
// images have, and so no trace shows. A binary would deoptimize at each of them in turn.
func (s *Set) ForImage() *Set {
	if s == nil {
		return nil
	}
	more := newSet()
	fonts := false
	for e := range s.elements {
		fonts = fonts || strings.HasPrefix(e.Type, "sun.font.")
		if e.Kind == KindType && strings.HasPrefix(e.Type, "sun.management.") {
			for _, bean := range imageBeans {
				more.add(Element{Kind: KindType, Type: bean, Condition: e.Condition})
			}
		}
	}
	if fonts {
		fontHandles(func(typ, method string) {
			more.add(Element{Kind: KindType, Type: typ})
			more.add(Element{Kind: KindMethod, Type: typ, Name: method})
		})
	}
	if len(more.elements) == 0 {
		return s
	}
	return Merge(s, more)
}
