package cli

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/cloudjit/cloudjit/internal/client"
)

type clusterStatusCommand struct{}

func (*clusterStatusCommand) Run(c *Context) error {
	s, err := c.Client.Nodes(c)
	if err != nil {
		return err
	}
	if err := c.Print(s, func(w io.Writer) error { return writeNodes(w, &s) }); err != nil {
		return err
	}
	if why := s.Trouble(); why != "" {
		return fmt.Errorf("the cluster is not as it should be: %s", why)
	}
	return nil
}

// Help is shown below the command's usage.
func (*clusterStatusCommand) Help() string {
	return "Ends with 1 if a node is gone or does not answer, if copies of the state are behind, or if there is no leader or no quorum."
}

// writeNodes draws the nodes, and how the state is kept.
func writeNodes(w io.Writer, s *client.Nodes) error {
	t := table(w)
	fmt.Fprintln(t, "NODE\tSTATE\tROLE\tSTATUS\tVERSION\tLOAD\tRUNNING\tWAITING\tWORKERS\tMIB\tDISK MB\tLAG")
	for i := range s.Nodes {
		n := &s.Nodes[i]
		lag := fmt.Sprint(n.Lag)
		if n.Current {
			lag = "current"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%.0f %%\t%d\t%d\t%d\t%d/%d\t%d\t%s\n", n.Name, n.State, n.Role, n.Status, n.Version, 100*n.Load,
			n.Running, n.Waiting, n.AllWorkers(), n.ReservedMiB, n.BudgetMiB, n.DiskBytes()/1e6, lag)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if len(s.Replicas) > 0 {
		leader, quorum := s.Leader, "there is a quorum"
		if leader == "" {
			leader = "none now"
		}
		if !s.Quorum {
			quorum = "THERE IS NO QUORUM: nothing can be changed; functions run on"
		}
		fmt.Fprintf(w, "leader of the state: %s; %s\n", leader, quorum)
	}
	if len(s.Unanswered) > 0 {
		fmt.Fprintf(w, "did not answer: %s\n", strings.Join(s.Unanswered, ", "))
	}
	return nil
}

type clusterDrainCommand struct {
	Node string        `arg:"" help:"Name of the node."`
	Undo bool          `help:"Let it take work again."`
	Wait time.Duration `default:"15m" help:"How long what runs there may take to end; 0: do not wait."`
}

// Help is shown below the command's usage.
func (*clusterDrainCommand) Help() string {
	return "Invocations that come to the node run on others, and what runs there ends. Afterwards stop it and start it again: it takes work again then. " +
		"For a rolling restart do so with one node after the other, each when \"cloudjit cluster status\" says that all are current."
}

func (cmd *clusterDrainCommand) Run(c *Context) error {
	before, err := c.Client.Nodes(c)
	if err != nil {
		return err
	}
	if why := before.Trouble(); why != "" && !cmd.Undo {
		return &hintError{fmt.Errorf("the cluster is not as it should be: %s", why), "Wait, or look at \"cloudjit cluster status\": with another node away nothing could be changed."}
	}
	if err := c.Client.DrainNode(c, cmd.Node, !cmd.Undo); err != nil {
		return err
	}
	if cmd.Undo || cmd.Wait == 0 {
		return c.Print(map[string]any{"node": cmd.Node, "draining": !cmd.Undo}, func(w io.Writer) error {
			_, err := fmt.Fprintf(w, "%s was told.\n", cmd.Node)
			return err
		})
	}
	deadline := time.Now().Add(cmd.Wait)
	for {
		s, err := c.Client.Nodes(c)
		if err == nil {
			if n := s.Of(cmd.Node); n != nil && n.State == "draining" && n.Running == 0 && n.Waiting == 0 {
				return c.Print(n, func(w io.Writer) error {
					_, err := fmt.Fprintf(w, "%s runs nothing any more: stop it.\n", cmd.Node)
					return err
				})
			}
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s still has something to do after %v", cmd.Node, cmd.Wait)
		}
		select {
		case <-time.After(200 * time.Millisecond):
		case <-c.Done():
			return c.Err()
		}
	}
}

// clusterFindings say how the nodes are of the cluster that the server is in, if one answers and is in one.
func clusterFindings(c *Context) []finding {
	ctx, cancel := context.WithTimeout(c, 3*time.Second)
	defer cancel()
	s, err := c.Client.Nodes(ctx)
	if err != nil || len(s.Replicas)+len(s.Nodes) < 2 {
		return nil
	}
	var out []finding
	for i := range s.Nodes {
		n := &s.Nodes[i]
		f := finding{"node " + n.Name, markOK, fmt.Sprintf("%s, %s, load %.0f %%, %d MB stored, copy of the state %d operations behind", n.State, n.Role, 100*n.Load, n.DiskBytes()/1e6, n.Lag), ""}
		if n.State == "gone" || n.State == "silent" || n.Status == "degraded" {
			f.Mark, f.Do = markLimited, "look at its log, and at \"cloudjit health\" there"
		}
		out = append(out, f)
	}
	state := finding{"state of the cluster", markOK, "leader " + s.Leader + ", with a quorum", ""}
	if s.Leader == "" || !s.Quorum {
		state = finding{"state of the cluster", markLimited, "no leader, or no quorum: nothing can be changed; functions run on", "start the nodes that are gone"}
	}
	return append(out, state)
}
