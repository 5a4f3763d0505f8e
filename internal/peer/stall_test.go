package peer

import (
	"context"
	"io"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// TestAFileThatStalls is given up, and said so, also where a part of it came.
func TestAFileThatStalls(t *testing.T) {
	key := []byte("secret")
	for name, first := range map[string]string{"at once": "", "in the middle": "half"} {
		t.Run(name, func(t *testing.T) {
			r, w := io.Pipe()
			defer w.Close()
			s := httptest.NewServer(NewServer(ServerOptions{Key: key, Open: func(string, string) (io.ReadCloser, int64, error) { return r, 1 << 20, nil }}))
			defer s.Close()
			defer r.Close()
			c := NewClient(key, nil)
			defer c.CloseIdle()
			if first != "" {
				go func() { _, _ = w.Write([]byte(first)) }()
			}
			began := time.Now()
			f, err := c.file(context.Background(), Target{Name: "b", Address: strings.TrimPrefix(s.URL, "http://")}, "kind", "name", 100*time.Millisecond)
			if err == nil {
				_, err = io.ReadAll(f)
				f.Close()
			}
			if err == nil || !strings.Contains(err.Error(), "sent nothing") || time.Since(began) > 5*time.Second {
				t.Errorf("got %v after %v", err, time.Since(began))
			}
		})
	}
}
