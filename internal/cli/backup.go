package cli

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"

	"github.com/cloudjit/cloudjit/internal/backup"
	"github.com/cloudjit/cloudjit/internal/config"
)

type backupCommand struct {
	File string `arg:"" type:"path" help:"File to write; it must not exist."`
}

// Help is shown below the command's usage.
func (*backupCommand) Help() string {
	return "In it are functions with their versions, aliases, code and history, the queue of events and dead letters. AOT caches and binaries are made again. " +
		"Environment variables are in it as they are: keep it as you keep them."
}

func (cmd *backupCommand) Run(c *Context) (err error) {
	f, err := os.OpenFile(cmd.File, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if err = errors.Join(err, f.Close()); err != nil {
			_ = os.Remove(cmd.File)
		}
	}()
	res, err := c.Client.Do(c, http.MethodPost, "/cloudjit/v1/backup", nil, nil)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if _, err := io.Copy(f, res.Body); err != nil {
		return fmt.Errorf("the backup was broken off: %w", err)
	}
	if err := f.Sync(); err != nil {
		return err
	}
	// What is on the disk is what counts.
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	about, err := backup.Check(f)
	if err != nil {
		return err
	}
	return c.Print(about, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "%d functions, %d events, %d dead letters, %.1f MB in %s\n", about.Functions, about.Events, about.Letters, float64(about.Bytes)/1e6, cmd.File)
		return err
	})
}

type restoreCommand struct {
	File string `arg:"" type:"existingfile" help:"A file that \"cloudjit backup\" wrote."`
	Data string `help:"Data folder to make; it must not exist, or be empty." placeholder:"DIR"`
}

// Help is shown below the command's usage.
func (*restoreCommand) Help() string {
	return "Every byte is compared with its checksum first; the folder appears whole or not at all."
}

func (cmd *restoreCommand) Run(c *Context) error {
	f, err := os.Open(cmd.File)
	if err != nil {
		return err
	}
	defer f.Close()
	if cmd.Data == "" {
		cmd.Data = config.Default().Data
	}
	about, err := backup.Restore(c, f, cmd.Data)
	if err != nil {
		return err
	}
	return c.Print(about, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "%d functions, %d events, %d dead letters restored to %s: start it with \"cloudjit serve --data %s\"\n", about.Functions, about.Events, about.Letters, cmd.Data, cmd.Data)
		return err
	})
}
