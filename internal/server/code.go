package server

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"github.com/cloudjit/cloudjit/internal/artifact"
	"github.com/cloudjit/cloudjit/internal/jar"
)

// code unpacks uploaded archives, each once, and knows what is in them.
type code struct {
	store  *artifact.Store
	limits jar.Limits
	known  sync.Map // SHA-256 -> unpacked
}

// unpacked is an archive on disk.
type unpacked struct {
	dir  string // what the sandbox sees as /var/task
	info *jar.Info
}

const (
	codeFolder = "code"
	infoFile   = "info.json"
)

// open returns an archive's folder, unpacking it first where that was not done yet.
func (c *code) open(ctx context.Context, sha string) (unpacked, error) {
	if u, ok := c.known.Load(sha); ok {
		// The API removes archives that no function has; the same one may come again later.
		if _, err := os.Stat(u.(unpacked).dir); err == nil {
			return u.(unpacked), nil
		}
	}
	tree, err := c.store.Tree(ctx, sha, func(blob, dir string) error {
		folder := filepath.Join(dir, codeFolder)
		if err := os.Mkdir(folder, 0o755); err != nil {
			return err
		}
		info, err := jar.Unpack(blob, folder, c.limits)
		if err != nil {
			return err
		}
		b, err := json.Marshal(info)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(dir, infoFile), b, 0o644)
	})
	if err != nil {
		return unpacked{}, err
	}
	b, err := os.ReadFile(filepath.Join(tree, infoFile))
	if err != nil {
		return unpacked{}, fmt.Errorf("read what is known of code %s: %w", sha, err)
	}
	u := unpacked{dir: filepath.Join(tree, codeFolder), info: new(jar.Info)}
	if err := json.Unmarshal(b, u.info); err != nil {
		return unpacked{}, fmt.Errorf("read what is known of code %s: %w", sha, err)
	}
	c.known.Store(sha, u)
	return u, nil
}
