package server

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/cloudjit/cloudjit/internal/config"
)

// certificates is the server's certificate, read again when its files change.
type certificates struct {
	files config.TLS
	log   *slog.Logger

	mu      sync.Mutex
	current *tls.Certificate
	read    [2]stamp
	looked  time.Time
}

// stamp tells one content of a file from another.
type stamp struct {
	at   time.Time
	size int64
}

// lookAgain is how long a certificate is used before its files are looked at again.
const lookAgain = time.Second

// newCertificates reads the files; nil where there are none.
func newCertificates(files config.TLS, log *slog.Logger) (*certificates, error) {
	if files.Cert == "" {
		return nil, nil
	}
	c := &certificates{files: files, log: log}
	var err error
	if c.read, err = c.stamps(); err == nil {
		err = c.load()
	}
	if err != nil {
		return nil, fmt.Errorf("tls: %w", err)
	}
	c.looked = time.Now()
	return c, nil
}

func (c *certificates) stamps() (s [2]stamp, err error) {
	for i, name := range []string{c.files.Cert, c.files.Key} {
		info, err := os.Stat(name)
		if err != nil {
			return s, err
		}
		s[i] = stamp{info.ModTime(), info.Size()}
	}
	return s, nil
}

func (c *certificates) load() error {
	pair, err := tls.LoadX509KeyPair(c.files.Cert, c.files.Key)
	if err == nil {
		c.current = &pair
	}
	return err
}

// get is the certificate for a new connection. Files that are not good, half-written ones among them,
// change nothing: the last good certificate stays, and they are read again until they are good.
func (c *certificates) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.looked) < lookAgain {
		return c.current, nil
	}
	c.looked = time.Now()
	now, err := c.stamps()
	if err == nil && now == c.read {
		return c.current, nil
	}
	if err == nil {
		err = c.load()
	}
	if err != nil {
		c.log.Error("the changed certificate cannot be used: the one before it is", "error", err)
		return c.current, nil
	}
	c.read = now
	c.log.Info("the certificate was read again", "expires", c.current.Leaf.NotAfter)
	return c.current, nil
}

func (c *certificates) config() *tls.Config {
	return &tls.Config{GetCertificate: c.get, MinVersion: tls.VersionTLS12}
}
