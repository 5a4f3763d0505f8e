package metadata

import (
	"encoding/json"
	"maps"
	"slices"
)

// Lambda says which lambdas' classes are meant: those that code of a class makes, and that
// implement these interfaces.
type Lambda struct {
	Class      string
	Interfaces []string
}

// SplitLambdas returns the lambdas that reflection looks at, each once and in order, and the set
// without them. Lambdas that are only serialized stay in the set.
func (s *Set) SplitLambdas() ([]Lambda, *Set) {
	types := map[string]bool{}
	rest := newSet()
	for _, e := range s.Elements() {
		if e.Kind != KindSerializable && typeKind(e.Type) == KindLambda {
			types[e.Type] = true
		} else {
			rest.add(e)
		}
	}
	if len(types) == 0 {
		return nil, s
	}
	var out []Lambda
	for _, t := range slices.Sorted(maps.Keys(types)) {
		var d descriptor
		var l Lambda
		if err := json.Unmarshal([]byte(t), &d); err != nil || json.Unmarshal(d.Lambda.Class, &l.Class) != nil {
			panic("metadata: a lambda's descriptor is not what was parsed: " + t)
		}
		l.Interfaces = d.Lambda.Interfaces
		out = append(out, l)
	}
	return out, rest
}
