// Package porttest finds addresses for servers that must know each other's before they start. It keeps none of them: who listens
// on one must not mind that another program may be faster.
package porttest

import (
	"net"
	"net/netip"
	"testing"
)

// Free returns n different addresses of the loopback interface that nobody listens on.
func Free(t testing.TB, n int) (all []netip.AddrPort) {
	t.Helper()
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close() // all at the end, or one would be found again
		all = append(all, l.Addr().(*net.TCPAddr).AddrPort())
	}
	return all
}
