package config

import (
	"net"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Cluster makes the server one node of several. Without Name and NATS it is one node alone.
type Cluster struct {
	// Name of the cluster: the same on all its nodes.
	Name string `yaml:"name"`
	// Listen is host:port where the stores of other nodes reach this one's. Anything but loopback needs Cert, Key and CA, or Insecure.
	Listen string `yaml:"listen"`
	// Join are the same addresses of all nodes; that of this one may be among them.
	Join []string `yaml:"join"`
	// Node is this node's name, unique in the cluster, and always the same; see NodeName.
	Node string `yaml:"node"`
	// Advertise is the host under which other nodes reach this one; empty: that of Listen.
	Advertise string `yaml:"advertise"`
	// PeerListen is host:port where other nodes send invocations to this one; port 0: any that is free. Empty: a free port at the host of
	// Listen, or of the API where the state is on servers of somebody else.
	PeerListen string `yaml:"peerListen"`
	// Cert, Key and CA are PEM files: nodes prove to each other with a certificate of CA that they belong to the cluster. All or none.
	Cert string `yaml:"cert"`
	Key  string `yaml:"key"`
	CA   string `yaml:"ca"`
	// NATS are URLs of servers of a NATS cluster with JetStream that is used instead of an own one, with
	// NATSCredentials, a file, if it wants any.
	NATS            []string `yaml:"nats"`
	NATSCredentials string   `yaml:"natsCredentials"`
}

// Enabled reports whether the server is one node of several.
func (c *Cluster) Enabled() bool { return c.Name != "" || len(c.NATS) > 0 }

// External reports whether the state is on NATS servers of somebody else.
func (c *Cluster) External() bool { return len(c.NATS) > 0 }

// notInNames are the characters that names of nodes do not have.
var notInNames = regexp.MustCompile(`[^A-Za-z0-9-]+`)

// NodeName is Node; where that is empty it is made of Listen, or of the machine's name where Listen is every address.
func (c *Cluster) NodeName() string {
	if c.Node != "" {
		return c.Node
	}
	host, port, err := net.SplitHostPort(c.Listen)
	if ip := net.ParseIP(host); err != nil || host == "" || ip != nil && ip.IsUnspecified() {
		name, err := os.Hostname()
		if err != nil {
			name = "node"
		}
		return notInNames.ReplaceAllString(name, "-")
	}
	return strings.Trim(notInNames.ReplaceAllString(host+"-"+port, "-"), "-")
}

// Host is where other nodes reach this one: Advertise, the host of Listen, or the machine's name.
func (c *Cluster) Host() string {
	if c.Advertise != "" {
		return c.Advertise
	}
	host, _, err := net.SplitHostPort(c.Listen)
	if ip := net.ParseIP(host); err != nil || host == "" || ip != nil && ip.IsUnspecified() {
		if name, err := os.Hostname(); err == nil {
			return name
		}
		return "localhost"
	}
	return host
}

// PeerAddress is where other nodes send invocations to this one; api is where the API listens.
func (c *Cluster) PeerAddress(api string) (string, error) {
	if c.PeerListen != "" {
		return c.PeerListen, nil
	}
	from := c.Listen
	if from == "" {
		from = api
	}
	host, _, err := net.SplitHostPort(from)
	return net.JoinHostPort(host, "0"), err
}

// PeerHost is the host of that for other nodes.
func (c *Cluster) PeerHost(api string) string {
	address, err := c.PeerAddress(api)
	if err != nil {
		return c.Host()
	}
	mine := Cluster{Listen: address, Advertise: c.Advertise}
	return mine.Host()
}

// Others are the addresses of Join without this node's own.
func (c *Cluster) Others() []string {
	_, port, _ := net.SplitHostPort(c.Listen)
	own := []string{c.Listen, net.JoinHostPort(c.Host(), port)}
	var out []string
	for _, a := range c.Join {
		if !slices.Contains(own, a) && !slices.Contains(out, a) {
			out = append(out, a)
		}
	}
	return out
}

var (
	clusterPattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$`)
	nodePattern    = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9-]{0,62}$`)
)

// check is Config.Check of the part of the cluster.
func (c *Cluster) check(all *Config, check func(ok bool, key, want string)) {
	check(c.Node == "" || nodePattern.MatchString(c.Node), "cluster.node", "want letters, digits and hyphens, 63 at most")
	check(c.Advertise == "" || hostPattern.MatchString(c.Advertise) || net.ParseIP(c.Advertise) != nil, "cluster.advertise", "want a host name or an address, without a port")
	peerHost, peerOK := host0(c.PeerListen)
	check(c.PeerListen == "" || peerOK, "cluster.peerListen", "want HOST:PORT (--cluster-peer-listen) where other nodes send invocations to this one")
	check(c.PeerListen == "" || c.Cert != "" || all.Insecure || Loopback(peerHost), "cluster.peerListen",
		"beyond loopback nodes have to prove who they are: want --cluster-cert, --cluster-key and --cluster-ca, or --insecure")
	tls := 0
	for _, f := range []string{c.Cert, c.Key, c.CA} {
		if f != "" {
			tls++
		}
	}
	check(tls == 0 || tls == 3, "cluster", "want cert, key and ca (--cluster-cert, --cluster-key, --cluster-ca), or none of them")
	if c.External() {
		check(c.Listen == "" && len(c.Join) == 0, "cluster.nats", "with servers of your own there is nothing to listen on and to join: leave out --cluster-listen and --join")
		for _, u := range c.NATS {
			parsed, err := url.Parse(u)
			check(err == nil && slices.Contains([]string{"nats", "tls", "ws", "wss"}, parsed.Scheme) && parsed.Host != "", "cluster.nats", "want URLs like nats://host:4222")
		}
		check(c.Name == "" || clusterPattern.MatchString(c.Name), "cluster.name", "want letters, digits, hyphens and underscores, 63 at most")
		return
	}
	check(c.NATSCredentials == "", "cluster.natsCredentials", "it is of use with cluster.nats (--nats) only")
	if c.Name == "" {
		check(c.Listen == "" && len(c.Join) == 0, "cluster.name", "want the cluster's name (--cluster), the same on all nodes")
		return
	}
	check(clusterPattern.MatchString(c.Name), "cluster.name", "want letters, digits, hyphens and underscores, 63 at most")
	host, ok := hostPort(c.Listen)
	check(ok, "cluster.listen", "want HOST:PORT (--cluster-listen) where other nodes reach this one's store, as in 10.0.0.1:6222")
	for _, a := range c.Join {
		h, ok := hostPort(a)
		check(ok && h != "", "cluster.join", "want HOST:PORT of the other nodes' cluster.listen, separated by commas (--join)")
	}
	check(len(c.Others()) >= 2, "cluster.join", "want the addresses (cluster.listen) of at least two other nodes (--join): two nodes cannot outvote one that is cut off")
	if ok && !all.Insecure {
		check(Loopback(host) || tls == 3, "cluster.listen",
			"beyond loopback nodes have to prove who they are: want --cluster-cert, --cluster-key and --cluster-ca, or --insecure")
		check(tls == 3 || all.Workers.Network != "host", "workers.network",
			"functions that share the host's network reach the cluster's address: want --cluster-cert, --cluster-key and --cluster-ca, or --insecure")
	}
	if api, _, err := net.SplitHostPort(all.Listen); ok && err == nil && Loopback(api) {
		check(Loopback(host), "listen", "other nodes pass invocations on to this one: want an address (--listen) that they reach")
	}
}

// host0 reads an address whose port may be 0.
func host0(a string) (host string, ok bool) {
	host, port, err := net.SplitHostPort(a)
	n, perr := strconv.Atoi(port)
	return host, err == nil && perr == nil && n >= 0 && n < 65536
}

// hostPort reads an address with a port that is not 0.
func hostPort(a string) (host string, ok bool) {
	host, port, err := net.SplitHostPort(a)
	n, perr := strconv.Atoi(port)
	return host, err == nil && perr == nil && n > 0 && n < 65536
}
