package metadata

import (
	"encoding/json"
	"regexp"
	"strings"
)

// Missing is what a native binary says of an element that it has no metadata for.
type Missing struct {
	// What is the binary's first sentence: "Cannot reflectively access the class 'a.B'".
	What string
	// Set holds the element that it asks for, to be merged into the metadata.
	Set *Set
}

// maxOutput bounds how much of a process' output is searched, in bytes from its end.
const maxOutput = 4 << 20

var missingHint = regexp.MustCompile(
	`(Cannot [^\n]*?)\. To allow this operation, add the following to the '([a-z]{1,32})' section of 'reachability-metadata\.json' and rebuild the native image:`)

// ParseMissing finds the hints that a native binary, built with --exact-reachability-metadata,
// prints when it meets elements that it has no metadata for (exit code 172 with
// -XX:MissingRegistrationReportingMode=Exit). Native images 25 print them to standard OUTPUT,
// other versions to standard error, so give both; cut off at either end is fine. Several hints
// (mode Warn) are merged, and What is the last one's. ok is false if there is none that can be read.
func ParseMissing(output string) (missing Missing, ok bool) {
	if len(output) > maxOutput {
		output = output[len(output)-maxOutput:]
	}
	for _, m := range missingHint.FindAllStringSubmatchIndex(output, -1) {
		section := output[m[4]:m[5]]
		var element json.RawMessage
		if err := json.NewDecoder(strings.NewReader(output[m[1]:])).Decode(&element); err != nil {
			continue
		}
		set, err := parseSection(section, element)
		if err != nil {
			continue
		}
		missing = Missing{What: output[m[2]:m[3]], Set: Merge(missing.Set, set)}
		ok = true
	}
	return missing, ok
}

func parseSection(section string, element json.RawMessage) (*Set, error) {
	var document string
	switch section {
	case "foreign":
		document = `{"foreign":` + string(element) + `}`
	default: // an unknown section is refused by Parse
		document = `{"` + section + `":[` + string(element) + `]}`
	}
	return Parse([]byte(document))
}
