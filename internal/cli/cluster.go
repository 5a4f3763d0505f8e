package cli

import (
	"errors"
	"fmt"
	"io"
	"log/slog"

	"github.com/cloudjit/cloudjit/internal/config"
	"github.com/cloudjit/cloudjit/internal/store"
)

type clusterCommands struct {
	Status  clusterStatusCommand  `cmd:"" help:"List the nodes: state, leader, load, disk, lag."`
	Drain   clusterDrainCommand   `cmd:"" help:"Let a node take nothing new, and wait until it runs nothing."`
	Convert clusterConvertCommand `cmd:"" help:"Make the data folder of a single node ready to bring its state into a new cluster."`
}

type clusterConvertCommand struct {
	Data string `help:"Data folder of the single node; no server may use it." placeholder:"DIR"`
}

// Help is shown below the command's usage.
func (*clusterConvertCommand) Help() string {
	return "Afterwards start the node with --cluster, and two others with empty data folders: functions, history, events and dead letters are on all three then. " +
		"The single node's own files are kept in the data folder."
}

func (cmd *clusterConvertCommand) Run(c *Context) error {
	if cmd.Data == "" {
		cmd.Data = config.Default().Data
	}
	done, err := store.Convert(c, cmd.Data, slog.New(slog.NewTextHandler(c.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})))
	if errors.Is(err, store.ErrInUse) {
		return &hintError{err, "Stop the server first: the state must not change meanwhile."}
	}
	if err != nil {
		return err
	}
	return c.Print(done, func(w io.Writer) error {
		if done.Before {
			_, err := fmt.Fprintln(w, "It was converted before. Start it with --cluster.")
			return err
		}
		_, err := fmt.Fprintf(w, "%d functions, %d events, %d dead letters are ready for a new cluster. What was there is kept in %s.\n", done.Functions, done.Events, done.Letters, done.Kept)
		return err
	})
}
