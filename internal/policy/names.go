package policy

import "fmt"

// Names are the policies that New makes.
func Names() []string { return []string{"none", "paper", "benefit", "adaptive"} }

// New makes the policy of a name, with its defaults. A policy keeps state: one engine, one policy.
func New(name string) (Policy, error) {
	switch name {
	case "none":
		return &Never{}, nil
	case "paper":
		return &Paper{}, nil
	case "benefit":
		return &Benefit{Costs: DefaultCosts()}, nil
	case "adaptive":
		return &Adaptive{Benefit: Benefit{Costs: DefaultCosts()}}, nil
	}
	return nil, fmt.Errorf("unknown policy %q: want one of %q", name, Names())
}
