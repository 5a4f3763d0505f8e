package client

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/health"
)

// Nodes are the nodes of the platform, and how its state is kept.
type Nodes struct {
	Nodes []Node `json:"nodes"`
	// Leader is the server through which state is written; empty: there is none now, or one node alone. Quorum: enough copies are there.
	Leader   string    `json:"leader"`
	Quorum   bool      `json:"quorum"`
	Replicas []Replica `json:"replicas"`
	// Unanswered are nodes that did not answer in time.
	Unanswered []string `json:"unanswered,omitempty"`
}

// Node is one node.
type Node struct {
	Name string `json:"name"`
	// State is live, draining, silent or gone; empty of one node alone.
	State     string    `json:"state"`
	Role      string    `json:"role"`
	Status    string    `json:"status"`
	Version   string    `json:"version"`
	StartedAt time.Time `json:"startedAt"`
	// Load is what it has to do, 1 being all that it can.
	Load        float64                          `json:"load"`
	Running     int                              `json:"running"`
	Waiting     int                              `json:"waiting"`
	ReservedMiB int64                            `json:"reservedMiB"`
	BudgetMiB   int64                            `json:"budgetMiB"`
	Workers     map[function.Rung]map[string]int `json:"workers"`
	Disk        []health.Disk                    `json:"disk"`
	Problems    []health.Problem                 `json:"problems"`
	// Current: its copy of the state is not behind; else by Lag operations.
	Current bool   `json:"current"`
	Lag     uint64 `json:"lag"`
}

// Replica is a copy of the state.
type Replica struct {
	Name    string `json:"name"`
	Current bool   `json:"current"`
	Offline bool   `json:"offline,omitempty"`
	Lag     uint64 `json:"lag"`
}

// AllWorkers counts its workers.
func (n *Node) AllWorkers() (all int) {
	for _, states := range n.Workers {
		for _, k := range states {
			all += k
		}
	}
	return all
}

// DiskBytes is all that it has stored.
func (n *Node) DiskBytes() (all int64) {
	for _, d := range n.Disk {
		all += d.Bytes
	}
	return all
}

// Of is a node by its name; nil: there is none.
func (s *Nodes) Of(name string) *Node {
	for i := range s.Nodes {
		if s.Nodes[i].Name == name {
			return &s.Nodes[i]
		}
	}
	return nil
}

// Trouble says what is not as it should be; empty: nothing.
func (s *Nodes) Trouble() string {
	var all []string
	for i := range s.Nodes {
		if n := &s.Nodes[i]; n.State == "gone" || n.State == "silent" {
			all = append(all, n.Name+" is "+n.State)
		}
	}
	if len(s.Replicas) == 0 {
		return strings.Join(all, "; ")
	}
	if s.Leader == "" {
		all = append(all, "the state has no leader")
	}
	if !s.Quorum {
		all = append(all, "there is no quorum")
	}
	for _, r := range s.Replicas {
		switch {
		case r.Offline:
			all = append(all, "the copy of the state on "+r.Name+" is away")
		case !r.Current:
			all = append(all, fmt.Sprintf("the copy of the state on %s is %d operations behind", r.Name, r.Lag))
		}
	}
	return strings.Join(all, "; ")
}

// Nodes lists the nodes.
func (c *Client) Nodes(ctx context.Context) (Nodes, error) {
	var out Nodes
	err := c.Call(ctx, http.MethodGet, Own+"/nodes", nil, &out)
	return out, err
}

// DrainNode lets a node take nothing new, or take work again.
func (c *Client) DrainNode(ctx context.Context, name string, drain bool) error {
	method := http.MethodPut
	if !drain {
		method = http.MethodDelete
	}
	return c.Call(ctx, method, Own+"/nodes/"+url.PathEscape(name)+"/drain", nil, nil)
}
