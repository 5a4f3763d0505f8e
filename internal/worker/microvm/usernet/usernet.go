// Package usernet gives one guest a way to the networks that the host reaches, without a device, a route or a rule of the
// host's kernel: the guest's packets come over a stream, a TCP/IP stack in this process (gVisor's) takes them apart, and each
// connection in them becomes one of this process. Nothing leads from outside into a guest, nor from one to another.
//
// It must not know what runs in the guest, nor which monitor does. The guest is hostile: what it sends is parsed by memory-safe code, the number of its connections is bounded, and it
// reaches neither the host's own services nor those that clouds offer to the host alone (Reachable).
package usernet

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"time"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/link/channel"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/icmp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
	"gvisor.dev/gvisor/pkg/waiter"

	"github.com/cloudjit/cloudjit/internal/worker/microvm/wire"
)

const (
	// maxConnections of one guest at once, of both protocols.
	maxConnections = 256
	// dialTime bounds how long a connection to outside may take to come about.
	dialTime = 20 * time.Second
	// quiet is after how long a UDP conversation in which nothing is said has ended.
	quiet = time.Minute
	// queued packets for the guest wait for it; more are dropped, as on any network.
	queued = 256
	// window of a TCP connection, bytes, toward outside.
	window = 256 << 10
	// opening is how many TCP connections may be on their way at once.
	opening = 64
)

// Options of a network.
type Options struct {
	// Reach says which addresses the guest may speak to; nil: Reachable.
	Reach func(netip.Addr) bool
	// Resolver answers the guest's questions for names, HOST:PORT; empty: the host's (resolv.conf(5)).
	Resolver string
	// Dial connects to outside; nil: as net.Dialer does.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// Reachable is true of all addresses but the host's loopback device and link-local ones, behind which clouds keep the
// credentials of their machines, and those that are nobody's.
func Reachable(a netip.Addr) bool {
	return a.Is4() && !a.IsLoopback() && !a.IsLinkLocalUnicast() && !a.IsMulticast() && !a.IsUnspecified() &&
		a != netip.AddrFrom4([4]byte{255, 255, 255, 255}) && a.As4()[0] != 0
}

// Nothing is true of no address: connections are refused at once.
func Nothing(netip.Addr) bool { return false }

// Network is that of one guest.
type Network struct {
	options Options
	stack   *stack.Stack
	link    *channel.Endpoint
	ctx     context.Context // ends with Close
	cancel  context.CancelFunc
	free    chan struct{} // one element for each connection
	open    sync.WaitGroup
}

// New makes a network. Close ends it.
func New(o Options) (*Network, error) {
	if o.Reach == nil {
		o.Reach = Reachable
	}
	if o.Resolver == "" {
		o.Resolver = resolver("/etc/resolv.conf")
	}
	if o.Dial == nil {
		o.Dial = (&net.Dialer{}).DialContext
	}
	n := &Network{options: o, free: make(chan struct{}, maxConnections)}
	n.ctx, n.cancel = context.WithCancel(context.Background())
	n.stack = stack.New(stack.Options{
		NetworkProtocols:   []stack.NetworkProtocolFactory{ipv4.NewProtocol},
		TransportProtocols: []stack.TransportProtocolFactory{tcp.NewProtocol, udp.NewProtocol, icmp.NewProtocol4},
	})
	n.link = channel.New(queued, wire.NetworkMTU, "")
	fail := func(what string, err tcpip.Error) (*Network, error) {
		n.Close()
		return nil, fmt.Errorf("make the guest's network: %s: %s", what, err)
	}
	if err := n.stack.CreateNIC(1, n.link); err != nil {
		return fail("device", err)
	}
	// All addresses but the guest's are this end's.
	if err := n.stack.SetPromiscuousMode(1, true); err != nil {
		return fail("addresses", err)
	}
	if err := n.stack.SetSpoofing(1, true); err != nil {
		return fail("addresses", err)
	}
	n.stack.SetRouteTable([]tcpip.Route{{Destination: header.IPv4EmptySubnet, NIC: 1}})
	n.stack.SetTransportProtocolHandler(tcp.ProtocolNumber, tcp.NewForwarder(n.stack, window, opening, n.tcp).HandlePacket)
	n.stack.SetTransportProtocolHandler(udp.ProtocolNumber, udp.NewForwarder(n.stack, n.udp).HandlePacket)
	return n, nil
}

// Close ends all connections. The guest's packets go nowhere then.
func (n *Network) Close() {
	n.cancel()
	n.link.Close()
	n.stack.Close()
	n.open.Wait()
	n.stack.Wait()
}

// Carry takes the guest's packets from a stream, and gives it those for it, until the stream or the network ends. It closes
// the stream. A frame is a packet's length in two bytes, the highest first, and the packet.
func (n *Network) Carry(s io.ReadWriteCloser) error {
	ctx, cancel := context.WithCancel(n.ctx)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = s.Close() })
	defer stop()
	var out sync.WaitGroup
	defer out.Wait()
	defer cancel()
	out.Go(func() {
		defer cancel()
		for {
			p := n.link.ReadContext(ctx)
			if p == nil {
				return
			}
			v := p.ToView()
			p.DecRef()
			b := append(binary.BigEndian.AppendUint16(make([]byte, 0, 2+v.Size()), uint16(v.Size())), v.AsSlice()...)
			v.Release()
			if _, err := s.Write(b); err != nil {
				return
			}
		}
	})
	in := bufio.NewReaderSize(s, 64<<10)
	packet := make([]byte, wire.NetworkMTU) // the stack copies it
	for {
		b, err := wire.ReadPacket(in, packet)
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, io.EOF) {
				return nil
			}
			return fmt.Errorf("read the guest's packets: %w", err)
		}
		p := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: buffer.MakeWithData(b)})
		n.link.InjectInbound(header.IPv4ProtocolNumber, p)
		p.DecRef()
	}
}

// target is where a connection to an address of the guest's network leads; empty: nowhere.
func (n *Network) target(to tcpip.Address, port uint16) string {
	a, ok := netip.AddrFromSlice(to.AsSlice())
	switch {
	case !ok:
		return ""
	case !n.options.Reach(a): // who reaches nothing asks for no names either
		return ""
	case a == wire.NetworkResolver:
		if port != 53 {
			return ""
		}
		return n.options.Resolver
	}
	return netip.AddrPortFrom(a, port).String()
}

func (n *Network) closed() bool { return n.ctx.Err() != nil }

// enter takes one of the guest's connections; false: it has too many, or the network has ended.
func (n *Network) enter() bool {
	if n.closed() {
		return false
	}
	select {
	case n.free <- struct{}{}:
		return true
	default:
		return false
	}
}

// tcp answers a connection of the guest once the one to outside is there, and refuses it if none comes about.
func (n *Network) tcp(r *tcp.ForwarderRequest) {
	id := r.ID()
	to := n.target(id.LocalAddress, id.LocalPort)
	if to == "" || !n.enter() {
		r.Complete(true)
		return
	}
	n.open.Go(func() {
		defer func() { <-n.free }()
		ctx, cancel := context.WithTimeout(n.ctx, dialTime)
		outside, err := n.options.Dial(ctx, "tcp4", to)
		cancel()
		if err != nil {
			r.Complete(true)
			return
		}
		defer outside.Close()
		var q waiter.Queue
		ep, terr := r.CreateEndpoint(&q)
		if terr != nil {
			r.Complete(true)
			return
		}
		r.Complete(false)
		inside := gonet.NewTCPConn(&q, ep)
		defer inside.Close()
		couple[half](n, inside, outside.(half), pour)
	})
}

// couple gives on what each of two connections says to the other, until both directions or the network have ended.
func couple[C net.Conn](n *Network, inside, outside C, give func(to, from C)) {
	stop := context.AfterFunc(n.ctx, func() { _, _ = inside.Close(), outside.Close() })
	defer stop()
	var both sync.WaitGroup
	both.Go(func() { give(outside, inside) })
	both.Go(func() { give(inside, outside) })
	both.Wait()
}

// half is a connection of which each direction ends by itself.
type half interface {
	net.Conn
	CloseWrite() error
}

// pour copies until from has nothing more to say, and says so.
func pour(to, from half) {
	if _, err := io.Copy(struct{ io.Writer }{to}, struct{ io.Reader }{from}); err != nil {
		_, _ = to.Close(), from.Close()
		return
	}
	_ = to.CloseWrite()
}

// udp begins a conversation.
func (n *Network) udp(r *udp.ForwarderRequest) bool {
	id := r.ID()
	to := n.target(id.LocalAddress, id.LocalPort)
	if to == "" || !n.enter() {
		return false // the stack says that the port is unreachable
	}
	var q waiter.Queue
	ep, terr := r.CreateEndpoint(&q)
	if terr != nil {
		<-n.free
		return false
	}
	inside := gonet.NewUDPConn(&q, ep)
	n.open.Go(func() {
		defer func() { <-n.free }()
		defer inside.Close()
		outside, err := n.options.Dial(n.ctx, "udp4", to)
		if err != nil {
			return
		}
		defer outside.Close()
		couple[net.Conn](n, inside, outside, n.exchange)
	})
	return true
}

// exchange gives on datagrams of one direction until it is quiet.
func (n *Network) exchange(to, from net.Conn) {
	b := make([]byte, wire.NetworkMTU)
	for {
		_ = from.SetReadDeadline(time.Now().Add(quiet))
		k, err := from.Read(b)
		if err != nil {
			_, _ = to.Close(), from.Close()
			return
		}
		if _, err := to.Write(b[:k]); err != nil && n.closed() {
			return
		}
	}
}

// resolver is the first name server of a resolv.conf(5), this machine's if it has none.
func resolver(file string) string {
	b, _ := os.ReadFile(file)
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == "nameserver" {
			if a, err := netip.ParseAddr(f[1]); err == nil && a.Is4() {
				return netip.AddrPortFrom(a, 53).String()
			}
		}
	}
	return "127.0.0.1:53"
}
