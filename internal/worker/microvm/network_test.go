package microvm

import (
	"context"
	"net"
	"strings"
	"testing"

	"github.com/cloudjit/cloudjit/internal/worker/microvm/wire"
	"github.com/cloudjit/cloudjit/internal/worker/process"
	"github.com/cloudjit/cloudjit/internal/worker/workertest"
)

// TestNetwork: functions reach outside where the configuration lets them, also as copies of one that was saved; the host's own
// services they do not reach, and trials reach nothing.
func TestNetwork(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	dialled := make(chan string, 16)
	d := newDriverWith(t, process.Options{}, func(o *Options) {
		o.Network = true
		o.dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			dialled <- address
			return (&net.Dialer{}).DialContext(ctx, network, l.Addr().String())
		}
	})
	defer d.Close()
	reaches := func(h *handle, address string) {
		t.Helper()
		if got := answer(t, h, workertest.Command{Do: "dial", Text: address}); got != `"connected"` {
			t.Fatalf("%s: %s", address, got) // nothing was dialled
		}
		if got := <-dialled; got != address {
			t.Errorf("dialled %s in the place of %s", got, address)
		}
	}
	refused := func(h *handle, address string) {
		t.Helper()
		if got := answer(t, h, workertest.Command{Do: "dial", Text: address}); !strings.Contains(got, "refused") {
			t.Errorf("%s: %s", address, got)
		}
		if len(dialled) > 0 {
			t.Errorf("dialled %s", <-dialled)
		}
	}
	spec := guestSpec(t, workertest.Handler)
	spec.Savable = true
	h := startSpec(t, d, spec, "calls-out")
	reaches(h, "203.0.113.5:80")
	refused(h, "169.254.169.254:80")
	refused(h, l.Addr().String())
	if got := answer(t, h, workertest.Command{Do: "read", Text: "/etc/resolv.conf"}); !strings.Contains(got, wire.NetworkResolver.String()) {
		t.Errorf("/etc/resolv.conf has %s", got)
	}
	dir := t.TempDir()
	if err := h.Snapshot(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	reaches(h, "203.0.113.6:80")
	if err := h.Stop(t.Context(), 0); err != nil {
		t.Error(err)
	}
	spec.Savable, spec.Restore = false, dir
	c := startSpec(t, d, spec, "copy")
	defer c.Stop(t.Context(), 0)
	reaches(c, "203.0.113.7:80")

	spec.Restore, spec.Trial = "", true
	trial := startSpec(t, d, spec, "trial")
	defer trial.Stop(t.Context(), 0)
	refused(trial, "203.0.113.8:80")
}
