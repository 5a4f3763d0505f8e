package usernet

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/link/channel"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"

	"github.com/cloudjit/cloudjit/internal/worker/microvm/wire"
)

// guest is a kernel in the place of a guest's: its packets go through a Network.
type guest struct{ *stack.Stack }

func newGuest(t *testing.T, o Options) guest {
	t.Helper()
	n, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	s := stack.New(stack.Options{
		NetworkProtocols:   []stack.NetworkProtocolFactory{ipv4.NewProtocol},
		TransportProtocols: []stack.TransportProtocolFactory{tcp.NewProtocol, udp.NewProtocol},
	})
	link := channel.New(queued, wire.NetworkMTU, "")
	address := tcpip.ProtocolAddress{Protocol: header.IPv4ProtocolNumber, AddressWithPrefix: tcpip.AddrFrom4(wire.NetworkAddress.As4()).WithPrefix()}
	if err := s.CreateNIC(1, link); err != nil {
		t.Fatal(err)
	}
	if err := s.AddProtocolAddress(1, address, stack.AddressProperties{}); err != nil {
		t.Fatal(err)
	}
	s.SetRouteTable([]tcpip.Route{{Destination: header.IPv4EmptySubnet, NIC: 1}})
	here, there := net.Pipe()
	ctx, cancel := context.WithCancel(t.Context())
	carried := make(chan error, 1)
	go func() { carried <- n.Carry(there) }()
	go func() {
		for {
			p := link.ReadContext(ctx)
			if p == nil {
				return
			}
			b := p.ToView().AsSlice()
			_, _ = here.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(b))), b...))
		}
	}()
	go func() {
		r, packet := bufio.NewReader(here), make([]byte, wire.NetworkMTU)
		for {
			b, err := wire.ReadPacket(r, packet)
			if err != nil {
				return
			}
			link.InjectInbound(header.IPv4ProtocolNumber, stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: buffer.MakeWithData(b)}))
		}
	}()
	t.Cleanup(func() {
		n.Close()
		if err := <-carried; err != nil {
			t.Error("carry:", err)
		}
		cancel()
		_ = here.Close()
		s.Close()
	})
	return guest{s}
}

func (g guest) at(address string) tcpip.FullAddress {
	a := netip.MustParseAddrPort(address)
	return tcpip.FullAddress{NIC: 1, Addr: tcpip.AddrFrom4(a.Addr().As4()), Port: a.Port()}
}

func (g guest) dial(t *testing.T, address string) (*gonet.TCPConn, error) {
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	return gonet.DialContextTCP(ctx, g.Stack, g.at(address), ipv4.ProtocolNumber)
}

// outside connects whatever is dialled to one server of this machine, and notes what it was.
func outside(server string, dialled chan<- string) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		dialled <- network + " " + address
		return (&net.Dialer{}).DialContext(ctx, network, server)
	}
}

func TestConnections(t *testing.T) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { // answers once the client has said all
				defer c.Close()
				b, _ := io.ReadAll(c)
				_, _ = c.Write([]byte(strings.ToUpper(string(b))))
			}()
		}
	}()
	dialled := make(chan string, 1)
	g := newGuest(t, Options{Dial: outside(l.Addr().String(), dialled)})
	c, err := g.dial(t, "203.0.113.5:80")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if got := <-dialled; got != "tcp4 203.0.113.5:80" {
		t.Errorf("dialled %s", got)
	}
	text := strings.Repeat("a guest speaks. ", 64<<10)
	go func() {
		_, _ = c.Write([]byte(text))
		_ = c.CloseWrite()
	}()
	b, err := io.ReadAll(c)
	if err != nil || string(b) != strings.ToUpper(text) {
		t.Errorf("%d bytes came back of %d, %v", len(b), len(text), err)
	}
}

func TestNames(t *testing.T) {
	server, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	go func() {
		b := make([]byte, 1<<10)
		for {
			n, from, err := server.ReadFrom(b)
			if err != nil {
				return
			}
			_, _ = server.WriteTo(append([]byte("answer to "), b[:n]...), from)
		}
	}()
	dialled := make(chan string, 2)
	g := newGuest(t, Options{Resolver: "192.0.2.53:53", Dial: outside(server.LocalAddr().String(), dialled)})
	to := g.at(netip.AddrPortFrom(wire.NetworkResolver, 53).String())
	c, err := gonet.DialUDP(g.Stack, nil, &to, ipv4.ProtocolNumber)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write([]byte("a question")); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 1<<10)
	_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
	n, err := c.Read(b)
	if err != nil || string(b[:n]) != "answer to a question" {
		t.Errorf("%q, %v", b[:n], err)
	}
	if got := <-dialled; got != "udp4 192.0.2.53:53" {
		t.Errorf("dialled %s", got)
	}
}

// TestRefused: what a guest may not reach is refused at once, and nobody outside hears of it.
func TestRefused(t *testing.T) {
	dialled := make(chan string, 16)
	for _, c := range []struct {
		options Options
		address string
	}{
		{Options{}, "169.254.169.254:80"},
		{Options{}, "10.77.0.1:80"},
		{Options{Reach: Nothing}, "203.0.113.5:80"},
		{Options{Reach: Nothing}, "10.77.0.1:53"},
	} {
		c.options.Dial = outside("127.0.0.1:1", dialled)
		g := newGuest(t, c.options)
		began := time.Now()
		if _, err := g.dial(t, c.address); err == nil || time.Since(began) > 3*time.Second {
			t.Errorf("%s: %v after %v", c.address, err, time.Since(began))
		}
	}
	if len(dialled) > 0 {
		t.Errorf("dialled %s", <-dialled)
	}
}

func TestReachable(t *testing.T) {
	for address, want := range map[string]bool{
		"8.8.8.8": true, "10.0.0.7": true, "127.0.0.1": false, "127.9.9.9": false, "169.254.169.254": false, "0.0.0.0": false, "0.1.2.3": false,
		"224.0.0.1": false, "255.255.255.255": false, "::1": false, "::ffff:127.0.0.1": false,
	} {
		if got := Reachable(netip.MustParseAddr(address)); got != want {
			t.Errorf("%s: %v", address, got)
		}
	}
}

// TestTooMany: a guest that opens connections without end gets so many, and the rest is refused.
func TestTooMany(t *testing.T) {
	n, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	for range maxConnections {
		if !n.enter() {
			t.Fatal("refused too early")
		}
	}
	if n.enter() {
		t.Error("one more than it may")
	}
	n.Close()
}

// FuzzCarry: whatever a guest sends in the place of packets, the network stands.
func FuzzCarry(f *testing.F) {
	f.Add([]byte{0, 1, 0x45})
	f.Add([]byte{0xff, 0xff})
	f.Add(append([]byte{0, 20}, "E\x00\x00\x14\x00\x00\x00\x00\x40\x06\x00\x00\x0a\x4d\x00\x02\x08\x08\x08\x08"...))
	n, err := New(Options{Dial: func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("not here") }})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(n.Close)
	f.Fuzz(func(t *testing.T, b []byte) {
		here, there := net.Pipe()
		go func() { _, _ = io.Copy(io.Discard, here) }()
		go func() {
			_, _ = here.Write(b)
			_ = here.Close()
		}()
		_ = n.Carry(there)
	})
}
