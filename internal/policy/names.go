package policy

import "fmt"

// Names are the policies that New makes.
func Names() []string { return []string{"none", "paper", "benefit", "adaptive", "hybrid", "ladder"} }

// New makes the policy of a name, with its defaults. A policy keeps state: one engine, one policy.
func New(name string) (Policy, error) {
	switch name {
	case "none":
		return &Never{}, nil
	case "paper":
		return &Paper{}, nil
	case "benefit":
		return &Benefit{}, nil
	case "adaptive":
		return &Adaptive{}, nil
	case "hybrid":
		return &Hybrid{}, nil
	case "ladder":
		return &Ladder{}, nil
	}
	return nil, fmt.Errorf("unknown policy %q: want one of %q", name, Names())
}
