package cli

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/cloudjit/cloudjit/internal/health"
)

type healthCommand struct {
	Acknowledge bool `help:"Forget what was lost and repaired, when you have read it. Until then, the server deletes no code or artifact, even if nothing refers to it."`
}

// Help is shown below the command's usage.
func (*healthCommand) Help() string {
	return "Ends with 1 if something does not work, or was lost and is not acknowledged."
}

// status is what the health resource answers.
type status struct {
	Status    string           `json:"status"`
	Version   string           `json:"version"`
	StartedAt time.Time        `json:"startedAt"`
	Functions int              `json:"functions"`
	Queued    uint64           `json:"queued"`
	Problems  []health.Problem `json:"problems,omitempty"`
}

func (cmd *healthCommand) Run(c *Context) error {
	var s status
	if err := c.Client.Call(c, http.MethodGet, "/cloudjit/v1/health", nil, &s); err != nil {
		return err
	}
	err := c.Print(s, func(w io.Writer) error {
		fmt.Fprintf(w, "%s: %d functions, %d events queued, up since %s\n", s.Status, s.Functions, s.Queued, s.StartedAt.Local().Format(time.DateTime))
		for _, p := range s.Problems {
			kind := p.Component
			if p.Warning {
				kind += " (warning)"
			}
			fmt.Fprintf(w, "\n%s, since %s: %s\n", kind, p.Since.Local().Format(time.DateTime), p.Message)
			for _, what := range p.Lost {
				fmt.Fprintln(w, "  lost:     ", what)
			}
			for _, what := range p.Repaired {
				fmt.Fprintln(w, "  repaired: ", what)
			}
		}
		return nil
	})
	switch {
	case err != nil:
		return err
	case cmd.Acknowledge:
		return c.Client.Call(c, http.MethodDelete, "/cloudjit/v1/health/problems", nil, nil)
	case s.Status != "ok":
		return errors.New("there are problems: see above, and docs/durability.md")
	}
	return nil
}
