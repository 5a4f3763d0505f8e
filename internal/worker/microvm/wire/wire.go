// Package wire is what a microVM driver and the agent in its guest say to each other: streams over one connection, each
// begun by one message.
//
// The driver opens streams for what it wants (Request), the agent for each connection to the Runtime API. Both sides
// import it, and the agent is small: it must not import anything of the driver's, nor net/http.
package wire

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"sync"
	"time"

	"github.com/hashicorp/yamux"
)

// Version of the protocol. An agent of another version is refused: the guest is built again then.
const Version = 3

// MaxMessage bounds one message, bytes. The longest has a command's arguments and environment.
const MaxMessage = 4 << 20

// Inside the guest.
const (
	// APIPort is the Runtime API's, WebPort that of $PORT; both on the loopback device of the sandbox.
	APIPort = 9001
	WebPort = 8080
	// UID is the function's user and group.
	UID = 1000
	// Hostname is the sandbox's.
	Hostname = "sandbox"
	// DriveSerial begins the serial number of a drive, which its index follows.
	DriveSerial = "cloudjit-"
)

// NetworkMTU is the largest packet of the sandbox's network, bytes: with larger ones there are fewer to carry.
const NetworkMTU = 16 << 10

// Addresses of the sandbox's network: its own, and of who answers questions for names.
var (
	NetworkAddress  = netip.AddrFrom4([4]byte{10, 77, 0, 2})
	NetworkResolver = netip.AddrFrom4([4]byte{10, 77, 0, 1})
)

// Ops of Request.
const (
	OpHello  = "hello"  // answered with Hello
	OpStart  = "start"  // Start; answered with Events, to the end of the command
	OpStdout = "stdout" // the stream carries what the command writes
	OpStderr = "stderr"
	OpDial   = "dial"   // a connection to WebPort: an Event, then raw bytes
	OpSignal = "signal" // Signal to the command; answered with an Event
	OpRead   = "read"   // the file Name of the folder Folder: an Entry and its content
	OpKeep   = "keep"   // what lies in Folder: Entries and contents, then an Entry without a path
	OpMaps   = "maps"   // whether the command maps the file Name: an Event
	// OpSuspend ends the session, so that the guest can be saved. Mark is what comes from the guest then, which is no part of
	// a session, and both sides begin the next session with it. An Event says why not.
	OpSuspend = "suspend"
	OpAttach  = "attach" // as OpStart, of the command that runs: after it was saved, and in a copy with Renew
	OpEcho    = "echo"   // raw bytes come back
	// OpNetwork: the stream carries the packets of the sandbox's network both ways: each begins with its length in two bytes, the
	// highest first.
	OpNetwork = "network"
)

// Request begins a stream of the driver's.
type Request struct {
	Op     string   `json:"op"`
	Start  *Start   `json:"start,omitempty"`
	Renew  *Renew   `json:"renew,omitempty"`
	Signal int      `json:"signal,omitempty"`
	Folder int      `json:"folder,omitempty"` // index in Start.Folders
	Name   string   `json:"name,omitempty"`
	Names  []string `json:"names,omitempty"` // of OpKeep: patterns, or "**"
	Limit  int64    `json:"limit,omitempty"` // of OpRead: bytes
	Mark   []byte   `json:"mark,omitempty"`  // of OpSuspend: MarkSize random bytes
}

// Hello is how the agent introduces itself.
type Hello struct {
	Version int `json:"version"`
	// Init is the time from the kernel's start to the agent's, Ready to the first word on the connection.
	Init  time.Duration `json:"init"`
	Ready time.Duration `json:"ready"`
	// RSS is the agent's resident memory, bytes.
	RSS    int64  `json:"rss"`
	Kernel string `json:"kernel"`
}

// Start is the sandbox to make in the guest, and the command to run in it.
type Start struct {
	Drives  int      `json:"drives"` // how many there are
	Parts   []Part   `json:"parts,omitempty"`
	Mounts  []Mount  `json:"mounts,omitempty"`
	Links   []Link   `json:"links,omitempty"` // in the root
	Folders []Folder `json:"folders,omitempty"`
	TmpMiB  int      `json:"tmpMiB"`
	Path    string   `json:"path"`
	Args    []string `json:"args,omitempty"` // without argv[0]
	Env     []string `json:"env,omitempty"`
	Dir     string   `json:"dir"`
	// Filter is the program that system calls pass: struct sock_filter, one after the other.
	Filter []byte `json:"filter,omitempty"`
	// MemoryMiB and PIDs bound the command; Files are the descriptors of each process. Zero: no bound.
	MemoryMiB int    `json:"memoryMiB,omitempty"`
	PIDs      int    `json:"pids,omitempty"`
	Files     uint64 `json:"files,omitempty"`
	// API: the Runtime API is listened for.
	API bool `json:"api,omitempty"`
	// Network: the sandbox has a device whose packets OpNetwork carries. Without it there is the loopback device alone.
	Network bool `json:"network,omitempty"`
	// Nice: the command runs behind all else.
	Nice bool `json:"nice,omitempty"`
	// Now is the driver's clock, ns since 1970; zero leaves the guest's.
	Now int64 `json:"now,omitempty"`
	// Entropy goes into the guest's random pool.
	Entropy []byte `json:"entropy,omitempty"`
}

// Part is where an image lies on the only drive, bytes. Where there are parts, a Mount's Drive is the index of one.
type Part struct {
	Offset int64 `json:"offset"`
	Size   int64 `json:"size"`
}

// Mount shows a part of a drive's image.
type Mount struct {
	Drive  int    `json:"drive"`
	Within string `json:"within,omitempty"` // path in the image; empty: all of it
	Target string `json:"target"`
	File   bool   `json:"file,omitempty"` // Within is a file
}

// Link is a symbolic link, To relative to the root.
type Link struct {
	Name string `json:"name"`
	To   string `json:"to"`
}

// Folder is worker.Folder, as far as the guest needs it.
type Folder struct {
	Target string `json:"target"`
	MiB    int    `json:"mib"`
	Files  int    `json:"files"`
}

// Renew makes a restored guest another one than that which was saved.
type Renew struct {
	Now     int64  `json:"now"`     // ns since 1970
	Entropy []byte `json:"entropy"` // for the random pool
}

// Event is an answer.
type Event struct {
	Error   string `json:"error,omitempty"`
	Phase   string `json:"phase,omitempty"` // of Error: "sandbox" or "runtime"
	Started bool   `json:"started,omitempty"`
	Exit    *Exit  `json:"exit,omitempty"`
	Yes     bool   `json:"yes,omitempty"` // of OpMaps
}

// Exit is how the command ended.
type Exit struct {
	Code        int    `json:"code"` // -1 if by signal
	Signal      string `json:"signal,omitempty"`
	OutOfMemory bool   `json:"outOfMemory,omitempty"`
	Peak        int64  `json:"peak,omitempty"` // bytes
}

// Entry announces one file or folder; Size bytes follow of a file that is read.
type Entry struct {
	Path string `json:"path,omitempty"`
	// Mode is an fs.FileMode: type and permissions.
	Mode  uint32 `json:"mode,omitempty"`
	Size  int64  `json:"size,omitempty"`
	Error string `json:"error,omitempty"`
}

// Write sends one message.
func Write(w io.Writer, message any) error {
	b, err := json.Marshal(message)
	if err != nil {
		return fmt.Errorf("write message: %w", err)
	}
	if len(b) > MaxMessage {
		return fmt.Errorf("write message: it has %d bytes, more than %d", len(b), MaxMessage)
	}
	_, err = w.Write(append(binary.BigEndian.AppendUint32(make([]byte, 0, 4+len(b)), uint32(len(b))), b...))
	return err
}

// Read reads one message. The other side is hostile: what is too long or no such message is an error.
func Read(r io.Reader, message any) error {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n > MaxMessage {
		return fmt.Errorf("read message: it has %d bytes, more than %d", n, MaxMessage)
	}
	// Not more at once than what has come: the length is only claimed.
	b, err := io.ReadAll(io.LimitReader(r, int64(n)))
	if err != nil {
		return err
	}
	if len(b) < int(n) {
		return io.ErrUnexpectedEOF
	}
	if err := json.Unmarshal(b, message); err != nil {
		return fmt.Errorf("read message: %w", err)
	}
	return nil
}

// ReadPacket reads one packet of OpNetwork into b, which has room for the largest. io.EOF: there are no more.
func ReadPacket(r io.Reader, b []byte) ([]byte, error) {
	var head [2]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	size := int(binary.BigEndian.Uint16(head[:]))
	if size > min(NetworkMTU, len(b)) {
		return nil, fmt.Errorf("a packet of %d bytes, more than %d", size, min(NetworkMTU, len(b)))
	}
	if _, err := io.ReadFull(r, b[:size]); err != nil {
		return nil, io.ErrUnexpectedEOF
	}
	return b[:size], nil
}

// MarkSize is the length of a mark, bytes, the first of which is MarkBegin and the others random: a session that reads one
// ends, since no frame of it begins so.
const (
	MarkSize  = 16
	MarkBegin = 0xff
)

// Seek reads to the end of mark, and nothing beyond. What comes before it is of a session that has ended.
func Seek(r io.Reader, mark []byte) error {
	window := make([]byte, 0, 2*len(mark))
	for {
		have := 0 // how much of mark stands at the end
		for k := min(len(mark), len(window)); k > 0; k-- {
			if bytes.HasSuffix(window, mark[:k]) {
				have = k
				break
			}
		}
		if have == len(mark) {
			return nil
		}
		window = append(window[:0], window[len(window)-have:]...)
		n, err := r.Read(window[have:len(mark)])
		window = window[:have+n]
		if err != nil && n == 0 {
			return err
		}
	}
}

// Conn is a connection that outlives the sessions on it.
type Conn interface {
	io.ReadWriteCloser
	SetDeadline(t time.Time) error
}

// Line is one session's use of a connection: its Close ends what reads and writes, and leaves the connection open. SetDeadline
// makes it usable again.
type Line struct {
	Conn

	mu   sync.Mutex
	held []byte // the head of a frame that is not written yet
}

// NewLine is a new session's.
func NewLine(conn Conn) *Line { return &Line{Conn: conn} }

// Close implements io.Closer.
func (l *Line) Close() error { return l.SetDeadline(time.Unix(1, 0)) }

// Of a frame (https://github.com/hashicorp/yamux/blob/master/spec.md): the length of its head, and how that of one with data begins.
const (
	headSize = 12
	version  = 0
	typeData = 0
)

// joinedMost bounds what is copied behind a head.
const joinedMost = 16 << 10

// Write implements io.Writer. A head of a frame waits for the data that comes next: in two writes they would wake the other side up
// twice, and the virtual machine's monitor between them.
func (l *Line) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.held) == 0 && len(b) == headSize && b[0] == version && b[1] == typeData && binary.BigEndian.Uint32(b[8:]) > 0 {
		l.held = append(l.held, b...)
		return len(b), nil
	}
	if len(l.held) == 0 {
		return l.Conn.Write(b)
	}
	head := l.held
	l.held = l.held[:0]
	if len(b) > joinedMost {
		if n, err := l.Conn.Write(head); err != nil || n < len(head) {
			return 0, err
		}
		return l.Conn.Write(b)
	}
	l.held = append(head, b...)
	n, err := l.Conn.Write(l.held)
	l.held = l.held[:0]
	return max(0, n-headSize), err
}

// Config is how streams share the connection. A guest may stand still for long, paused or on a loaded machine: no
// silence ends the session, the end of the connection does.
func Config() *yamux.Config {
	c := yamux.DefaultConfig()
	c.EnableKeepAlive = false
	c.ConnectionWriteTimeout = 10 * time.Minute
	c.StreamOpenTimeout = 0
	c.AcceptBacklog = 64
	c.LogOutput = io.Discard
	return c
}
