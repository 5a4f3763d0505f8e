package engine

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/ladder"
	"github.com/cloudjit/cloudjit/internal/pipeline"
	"github.com/cloudjit/cloudjit/internal/policy"
)

// The log of an engine is a header and records. A record is its length and, for one step, the time
// since the last one, the event and the actions. An event or action is its kind, a mask of
// the fields that are not zero, and these, all as varints. Some 10 bytes a warm event.

// logHeader names the format and its version; a change of the format changes it.
const logHeader = "cloudjit engine log 4\n"

// maxRecord bounds a record, in bytes; a burst of ten thousand actions has a tenth of it.
const maxRecord = 4 << 20

// ErrNotLog is returned for what does not begin as a log of this version.
var ErrNotLog = errors.New("not an engine log of this version, or its first line is cut off")

// LogWriter writes the steps of an engine.
type LogWriter struct {
	w    io.Writer
	last int64
	buf  []byte
	err  error
}

// NewLogWriter writes the header. Records go to w one write each: give it a buffer.
func NewLogWriter(w io.Writer) (*LogWriter, error) {
	if _, err := io.WriteString(w, logHeader); err != nil {
		return nil, fmt.Errorf("write engine log: %w", err)
	}
	return &LogWriter{w: w}, nil
}

// Record writes one step. After an error nothing more is written; see Err.
func (l *LogWriter) Record(now int64, ev Event, actions []Action) {
	if l.err != nil {
		return
	}
	b := append(l.buf[:0], make([]byte, binary.MaxVarintLen64)...)
	b = binary.AppendVarint(b, now-l.last)
	b = appendEvent(b, &ev)
	b = binary.AppendUvarint(b, uint64(len(actions)))
	for i := range actions {
		b = appendFields(b, byte(actions[i].Kind), actions[i].fields())
	}
	l.buf, l.last = b, now
	// The length goes right before the record, into the room that was left for it.
	var length [binary.MaxVarintLen64]byte
	k := binary.PutUvarint(length[:], uint64(len(b)-binary.MaxVarintLen64))
	copy(b[binary.MaxVarintLen64-k:], length[:k])
	if _, err := l.w.Write(b[binary.MaxVarintLen64-k:]); err != nil {
		l.err = fmt.Errorf("write engine log: %w", err)
	}
}

// Err is the first error of Record.
func (l *LogWriter) Err() error { return l.err }

// fields are an event's small fields, in the order of the format.
func (ev *Event) fields() []int64 {
	return []int64{
		int64(ev.Outcome), int64(ev.Rung), int64(ev.Failure), bit(ev.NoRetry), bit(ev.Complete),
		int64(ev.Function), int64(ev.Revision), int64(ev.Invocation), int64(ev.Worker), int64(ev.Version),
		int64(ev.Recording), real(ev.MemoryMB), int64(ev.Cost.Wall), int64(ev.Cost.CPU), real(ev.Cost.MemoryMB), real(ev.Cost.DiskMB), ev.CPU, bit(ev.Full),
		int64(ev.Invocations), int64(ev.ColdStarts),
	}
}

const eventFields = 20

func (ev *Event) setFields(v []int64) error {
	var bad bool
	ev.Outcome, ev.Rung, ev.Failure = function.Outcome(u8(v[0], &bad)), ladder.ID(u8(v[1], &bad)), Failure(u8(v[2], &bad))
	ev.NoRetry, ev.Complete = v[3] != 0, v[4] != 0
	ev.Function, ev.Revision = FunctionID(i32(v[5], &bad)), RevisionID(i32(v[6], &bad))
	ev.Invocation, ev.Worker, ev.Version = InvocationID(i32(v[7], &bad)), WorkerID(i32(v[8], &bad)), u32(v[9], &bad)
	ev.Recording, ev.MemoryMB = ladder.Recording(u8(v[10], &bad)), unreal(v[11], &bad)
	ev.Cost = ladder.Cost{Wall: time.Duration(v[12]), CPU: time.Duration(v[13]), MemoryMB: unreal(v[14], &bad), DiskMB: unreal(v[15], &bad)}
	ev.CPU, ev.Full = v[16], v[17] != 0
	ev.Invocations, ev.ColdStarts = i32(v[18], &bad), i32(v[19], &bad)
	return outOfRange(bad)
}

// fields are an action's, in the order of the format.
func (a *Action) fields() []int64 {
	return []int64{
		int64(a.Rung), int64(a.Recording), int64(a.Reason), bit(a.Cold), bit(a.Check),
		int64(a.From), int64(a.To), int64(a.Cause),
		int64(a.Revision), int64(a.Invocation), int64(a.Worker), int64(a.Version), a.At, bit(a.Compare),
	}
}

const actionFields = 14

func (a *Action) setFields(v []int64) error {
	var bad bool
	a.Rung, a.Recording, a.Reason = ladder.ID(u8(v[0], &bad)), ladder.Recording(u8(v[1], &bad)), Reason(u8(v[2], &bad))
	a.Cold, a.Check = v[3] != 0, v[4] != 0
	a.From, a.To, a.Cause = pipeline.Phase(u8(v[5], &bad)), pipeline.Phase(u8(v[6], &bad)), pipeline.Event(u8(v[7], &bad))
	a.Revision, a.Invocation, a.Worker = RevisionID(i32(v[8], &bad)), InvocationID(i32(v[9], &bad)), WorkerID(i32(v[10], &bad))
	a.Version, a.At, a.Compare = u32(v[11], &bad), v[12], v[13] != 0
	return outOfRange(bad)
}

func (c *FunctionConfig) fields() []int64 {
	return []int64{
		int64(c.Reserved), int64(c.QueueLimit), bit(c.NoOptimize), int64(c.Deopt),
		c.Params.KeepAlive, int64(c.Params.Threshold), c.Params.Window, c.Params.MaxWait, int64(c.Params.Prepare), bit(c.NoCheck),
	}
}

const functionFields = 10

func (c *FunctionConfig) setFields(v []int64) error {
	var bad bool
	c.Reserved, c.QueueLimit, c.NoOptimize, c.Deopt = i32(v[0], &bad), i32(v[1], &bad), v[2] != 0, function.DeoptMode(u8(v[3], &bad))
	c.NoCheck = v[9] != 0
	c.Params = policy.Params{KeepAlive: v[4], Threshold: i32(v[5], &bad), Window: v[6], MaxWait: v[7], Prepare: policy.Prepare(u8(v[8], &bad))}
	return outOfRange(bad)
}

func (c *NodeConfig) fields() []int64 {
	return []int64{c.MemoryMiB, int64(c.Starts), int64(c.Concurrency), int64(c.QueueLimit), int64(c.Builders), int64(c.TraceLimit), c.Patience, int64(c.LightBuilders), c.ArtifactMB, int64(c.Cores)}
}

const nodeFields = 10

func (c *NodeConfig) setFields(v []int64) error {
	var bad bool
	*c = NodeConfig{
		MemoryMiB: v[0], Starts: i32(v[1], &bad), Concurrency: i32(v[2], &bad), QueueLimit: i32(v[3], &bad),
		Builders: i32(v[4], &bad), TraceLimit: i32(v[5], &bad), Patience: v[6], LightBuilders: i32(v[7], &bad), ArtifactMB: v[8], Cores: i32(v[9], &bad),
	}
	return outOfRange(bad)
}

// Parts of an event after its fields.
const (
	partFunction = 1 << iota
	partRevision
	partNode
	partEnd
)

func appendEvent(b []byte, ev *Event) []byte {
	b = appendFields(b, byte(ev.Kind), ev.fields())
	parts := byte(0)
	if ev.FunctionConfig != nil {
		parts |= partFunction
	}
	if ev.RevisionConfig != nil {
		parts |= partRevision
	}
	if ev.NodeConfig != nil {
		parts |= partNode
	}
	b = append(b, parts)
	if ev.FunctionConfig != nil {
		b = appendFields(b, 0, ev.FunctionConfig.fields())
	}
	if ev.RevisionConfig != nil {
		// It has names and a table in it, and is rare: as JSON.
		doc, err := json.Marshal(ev.RevisionConfig)
		if err != nil { // a number that is none, which no ladder has
			doc = []byte("null")
		}
		b = binary.AppendUvarint(b, uint64(len(doc)))
		b = append(b, doc...)
	}
	if ev.NodeConfig != nil {
		b = appendFields(b, 0, ev.NodeConfig.fields())
	}
	return b
}

// appendFields writes a kind, the mask of the values that are not zero, and these.
func appendFields(b []byte, kind byte, values []int64) []byte {
	mask := uint64(0)
	for i, v := range values {
		if v != 0 {
			mask |= 1 << i
		}
	}
	b = append(b, kind)
	b = binary.AppendUvarint(b, mask)
	for _, v := range values {
		if v != 0 {
			b = binary.AppendVarint(b, v)
		}
	}
	return b
}

// LogReader reads what a LogWriter wrote. It trusts nothing that it reads.
type LogReader struct {
	r    *bufio.Reader
	last int64
	buf  []byte
}

// LooksLikeLog says whether what begins here is a log, of any version, or as much of one's header as
// there is.
func LooksLikeLog(r io.Reader) bool {
	name := logHeader[:strings.LastIndexByte(logHeader, ' ')+1]
	head := make([]byte, len(name))
	n, _ := io.ReadFull(r, head)
	return n >= len("cloudjit ") && string(head[:n]) == name[:n]
}

// NewLogReader checks the header; ErrNotLog if it is another.
func NewLogReader(r io.Reader) (*LogReader, error) {
	l := &LogReader{r: bufio.NewReader(r)}
	head := make([]byte, len(logHeader))
	if _, err := io.ReadFull(l.r, head); err != nil || string(head) != logHeader {
		return nil, fmt.Errorf("read engine log: %w", ErrNotLog)
	}
	return l, nil
}

// Next is the next step; io.EOF after the last, io.ErrUnexpectedEOF if that was cut off. The
// actions are the caller's.
func (l *LogReader) Next() (now int64, ev Event, actions []Action, err error) {
	size, err := binary.ReadUvarint(l.r)
	if err != nil {
		if !errors.Is(err, io.EOF) {
			err = fmt.Errorf("read engine log: %w", err)
		}
		return 0, ev, nil, err
	}
	if size > maxRecord {
		return 0, ev, nil, fmt.Errorf("read engine log: a record of %d bytes", size)
	}
	l.buf = slices.Grow(l.buf[:0], int(size))[:size]
	if _, err := io.ReadFull(l.r, l.buf); err != nil {
		return 0, ev, nil, fmt.Errorf("read engine log: %w", io.ErrUnexpectedEOF)
	}
	d := decoder{b: l.buf}
	l.last += d.varint()
	d.event(&ev)
	n := d.uvarint()
	if n > uint64(len(d.b)) { // an action takes more than a byte
		return 0, ev, nil, errors.New("read engine log: more actions than bytes")
	}
	for range n {
		var a Action
		var v [actionFields]int64
		a.Kind = ActionKind(d.fields(v[:]))
		if int(a.Kind) >= actionKindCount {
			d.fail(fmt.Errorf("unknown action %d", a.Kind))
		}
		d.fail(a.setFields(v[:]))
		actions = append(actions, a)
	}
	if d.err == nil && len(d.b) > 0 {
		d.fail(fmt.Errorf("%d bytes are left of a record", len(d.b)))
	}
	if d.err != nil {
		return 0, ev, nil, fmt.Errorf("read engine log: %w", d.err)
	}
	return l.last, ev, actions, nil
}

// decoder takes a record apart; the first error stays.
type decoder struct {
	b   []byte
	err error
}

func (d *decoder) fail(err error) {
	if d.err == nil && err != nil {
		d.err = err
		d.b = nil
	}
}

func (d *decoder) byte() byte {
	if len(d.b) == 0 {
		d.fail(io.ErrUnexpectedEOF)
		return 0
	}
	v := d.b[0]
	d.b = d.b[1:]
	return v
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.fail(io.ErrUnexpectedEOF)
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) varint() int64 {
	v, n := binary.Varint(d.b)
	if n <= 0 {
		d.fail(io.ErrUnexpectedEOF)
		return 0
	}
	d.b = d.b[n:]
	return v
}

// fields reads a kind and as many values as v has room for.
func (d *decoder) fields(v []int64) byte {
	kind, mask := d.byte(), d.uvarint()
	if mask>>len(v) != 0 {
		d.fail(fmt.Errorf("unknown fields %b", mask>>len(v)))
	}
	for i := range v {
		if mask>>i&1 != 0 {
			v[i] = d.varint()
		}
	}
	return kind
}

func (d *decoder) event(ev *Event) {
	var v [eventFields]int64
	ev.Kind = EventKind(d.fields(v[:]))
	if int(ev.Kind) >= eventKindCount {
		d.fail(fmt.Errorf("unknown event %d", ev.Kind))
	}
	d.fail(ev.setFields(v[:]))
	parts := d.byte()
	if parts >= partEnd {
		d.fail(fmt.Errorf("unknown parts %b", parts))
	}
	if parts&partFunction != 0 {
		var v [functionFields]int64
		d.fields(v[:])
		ev.FunctionConfig = &FunctionConfig{}
		d.fail(ev.FunctionConfig.setFields(v[:]))
	}
	if parts&partRevision != 0 {
		n := d.uvarint()
		if n > uint64(len(d.b)) {
			d.fail(io.ErrUnexpectedEOF)
			return
		}
		ev.RevisionConfig = &RevisionConfig{}
		if err := json.Unmarshal(d.b[:n], ev.RevisionConfig); err != nil {
			d.fail(fmt.Errorf("revision: %w", err))
			return
		}
		d.b = d.b[n:]
	}
	if parts&partNode != 0 {
		var v [nodeFields]int64
		d.fields(v[:])
		ev.NodeConfig = &NodeConfig{}
		d.fail(ev.NodeConfig.setFields(v[:]))
	}
}

// real and unreal carry a number of at least 0 as its bits.
func real(f float64) int64 { return int64(math.Float64bits(f)) }

func unreal(v int64, bad *bool) float64 {
	f := math.Float64frombits(uint64(v))
	*bad = *bad || !(f >= 0) || math.IsInf(f, 0)
	return f
}

func bit(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

func u8(v int64, bad *bool) uint8 {
	*bad = *bad || v < 0 || v > 1<<8-1
	return uint8(v)
}

func i32(v int64, bad *bool) int32 {
	*bad = *bad || int64(int32(v)) != v
	return int32(v)
}

func u32(v int64, bad *bool) uint32 {
	*bad = *bad || int64(uint32(v)) != v
	return uint32(v)
}

func outOfRange(bad bool) error {
	if bad {
		return errors.New("a value is out of its range")
	}
	return nil
}

// DivergedError is a replay that came to other actions than the log has.
type DivergedError struct {
	Step      int // from 1
	Event     Event
	Got, Want []Action
}

func (e *DivergedError) Error() string {
	return fmt.Sprintf("replay diverges at step %d, %s: got %+v, the log has %+v", e.Step, e.Event.Kind, e.Got, e.Want)
}

// Replay runs a log through a new engine with the policy that the log was made with, from its
// first event (EventConfigured), and returns how many steps gave the same actions: all, or
// there is a *DivergedError. A log that was cut off ends where it was.
func Replay(l *LogReader, p policy.Policy) (int, error) {
	e := New(NodeConfig{}, p)
	var got []Action
	for n := 0; ; n++ {
		now, ev, want, err := l.Next()
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return n, nil
		}
		if err != nil {
			return n, err
		}
		if ev.tooLarge() {
			return n, fmt.Errorf("replay step %d: an identifier is too large to be one of a node", n+1)
		}
		got = e.Step(now, ev, got[:0])
		if !slices.Equal(got, want) {
			return n, &DivergedError{Step: n + 1, Event: ev, Got: got, Want: want}
		}
	}
}

// tooLarge guards a replay against logs that would make the engine's tables huge.
func (ev *Event) tooLarge() bool {
	const limit = 1 << 17
	return ev.Function > limit || ev.Revision > limit || ev.Invocation > 8*limit ||
		ev.FunctionConfig != nil && ev.FunctionConfig.Params.Threshold > 8*limit
}
