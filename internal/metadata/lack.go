package metadata

import (
	"regexp"
	"strings"
)

// Lack is what a native binary of a patched builder says of something that HotSpot can do and it cannot (java/image,
// CloudJitLack). It ends with the exit code of missing metadata.
type Lack struct {
	// What it met, one line: "Classes cannot be defined at runtime ...". It may hold what the program was given.
	What string
	// Never: no binary can do it, whatever it is built with.
	Never bool
	// Set holds elements that a build takes as a sign of what it needs; empty where nothing is learnt.
	Set *Set
}

// LackMark begins what a binary says of a Lack.
const LackMark = "CloudJIT: a native binary cannot do what HotSpot does here ["

var lackLine = regexp.MustCompile(`CloudJIT: a native binary cannot do what HotSpot does here \[([a-z]{1,32})\] ?(.{0,400})`)

// protocolName is what may follow in a URL's protocol; it becomes a part of a type's name.
var protocolName = regexp.MustCompile(`^[a-z]{2,16}$`)

// ParseLack finds the last that a binary's output says it cannot do. The output is hostile.
func ParseLack(output string) (Lack, bool) {
	if len(output) > maxOutput {
		output = output[len(output)-maxOutput:]
	}
	all := lackLine.FindAllStringSubmatch(output, -1)
	if len(all) == 0 {
		return Lack{}, false
	}
	kind, what := all[len(all)-1][1], strings.ToValidUTF8(strings.TrimSpace(all[len(all)-1][2]), "?")
	if kind == "protocol" && protocolName.MatchString(what) {
		return Lack{What: "the URL protocol " + what, Set: Of(Element{Kind: KindType, Type: ProtocolType(what)})}, true
	}
	return Lack{What: what, Never: true}, true
}

// ProtocolType is the type of the JDK that stands in metadata for a URL's protocol that a binary needs.
func ProtocolType(protocol string) string { return "sun.net.www.protocol." + protocol + ".Handler" }

// localeData matches the JDK's classes with the data of one locale.
var localeData = regexp.MustCompile(`^sun\.(?:text|util)\.resources\.(?:[a-z]+\.)*[A-Z][A-Za-z]*_([a-z]{2,3}(?:_[A-Za-z0-9]{2,8})*)$`)

// LocaleType is the type of the JDK that stands in metadata for a locale whose data a binary needs.
func LocaleType(tag string) string {
	return "sun.text.resources.cldr.ext.FormatData_" + strings.ReplaceAll(tag, "-", "_")
}

// LocaleOf is the tag of the locale that a class of the JDK has data of.
func LocaleOf(typ string) (tag string, ok bool) {
	m := localeData.FindStringSubmatch(typ)
	if m == nil {
		return "", false
	}
	return strings.ReplaceAll(m[1], "_", "-"), true
}
