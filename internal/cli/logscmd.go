package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"

	"github.com/cloudjit/cloudjit/internal/client"

	"github.com/cloudjit/cloudjit/internal/logs"
)

type logsCommand struct {
	Function string `arg:"" help:"Name of the function."`
	Follow   bool   `short:"f" help:"Keep printing new lines."`
	Lines    int    `short:"n" default:"100" help:"How many of the newest lines to print first."`
}

func (cmd *logsCommand) Run(c *Context) error {
	path := fmt.Sprintf("%s/logs?lines=%d", client.OwnFunction(cmd.Function), cmd.Lines)
	show := func(l logs.Line) error {
		if c.JSON {
			return json.NewEncoder(c.Stdout).Encode(l)
		}
		_, err := fmt.Fprintf(c.Stdout, "%s  %s\n", l.Time.Local().Format("15:04:05.000"), l.Text)
		return err
	}
	if cmd.Follow {
		last := uint64(0)
		err := c.Client.Stream(c, path+"&follow=true", func(data json.RawMessage) error {
			var l logs.Line
			if err := json.Unmarshal(data, &l); err != nil {
				return fmt.Errorf("read log line: %w", err)
			}
			if last != 0 && l.Seq > last+1 {
				c.Say("(%d lines were missed)", l.Seq-last-1)
			}
			last = l.Seq
			return show(l)
		})
		if c.Err() != nil { // Ctrl-C is how one ends it
			return nil
		}
		return err
	}
	var out struct {
		Lines []logs.Line `json:"lines"`
	}
	if err := c.Client.Call(c, http.MethodGet, path, nil, &out); err != nil {
		return err
	}
	if c.JSON {
		return c.Print(out.Lines, func(io.Writer) error { return nil })
	}
	for _, l := range out.Lines {
		if err := show(l); err != nil {
			return err
		}
	}
	return nil
}
