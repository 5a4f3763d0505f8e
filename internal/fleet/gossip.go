package fleet

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"

	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/placement"
)

// topic of what nodes say of themselves.
const topic = "load"

// maxWarm bounds how many revisions with idle workers a node tells of.
const maxWarm = 8192

// maxDrivers bounds how many drivers a node tells of, and maxDriver the length of a name, bytes.
const maxDrivers, maxDriver = 16, 32

// standing is what a node says of itself.
type standing struct {
	// Address is host:port where it answers other nodes.
	Address string `json:"address"`
	// Load, FreeMiB and LargestMiB are as of placement.Node.
	Load       int32 `json:"load"`
	FreeMiB    int32 `json:"free"`
	LargestMiB int32 `json:"largest"`
	// Warm are the keys of revisions that have idle workers, four bytes each, big endian, in order.
	Warm []byte `json:"warm,omitempty"`
	// Drivers are those that functions may choose there.
	Drivers []string `json:"drivers,omitempty"`

	warm []uint32
}

// warmKey stands for a revision. Two may have the same: then an idle worker is expected that is not there.
func warmKey(id function.RevisionID) uint32 { return uint32(placement.Key(string(id)) >> 32) }

func (s *standing) encode() []byte {
	s.Warm = make([]byte, 0, 4*len(s.warm))
	for _, k := range s.warm {
		s.Warm = binary.BigEndian.AppendUint32(s.Warm, k)
	}
	b, err := json.Marshal(s)
	if err != nil {
		panic(fmt.Sprintf("encode %T: %v", s, err)) // plain fields
	}
	return b
}

// parseStanding reads what another node said. Nothing in it is believed that cannot be.
func parseStanding(data []byte) (standing, error) {
	var s standing
	if len(data) > 8*maxWarm {
		return s, fmt.Errorf("%d bytes: want %d at most", len(data), 8*maxWarm)
	}
	if err := json.Unmarshal(data, &s); err != nil {
		return s, err
	}
	host, port, err := net.SplitHostPort(s.Address)
	if n, perr := strconv.Atoi(port); err != nil || perr != nil || n < 1 || n > 65535 || host == "" || len(s.Address) > 300 {
		return s, errors.New("no address")
	}
	switch {
	case s.Load < 0 || s.Load > placement.MaxLoad:
		return s, fmt.Errorf("a load of %d", s.Load)
	case s.FreeMiB < 0 || s.LargestMiB <= 0:
		return s, fmt.Errorf("memory of %d and %d MiB", s.FreeMiB, s.LargestMiB)
	case len(s.Warm)%4 != 0 || len(s.Warm) > 4*maxWarm:
		return s, fmt.Errorf("%d bytes of revisions", len(s.Warm))
	}
	if len(s.Drivers) > maxDrivers || slices.ContainsFunc(s.Drivers, func(d string) bool { return len(d) > maxDriver }) {
		return s, fmt.Errorf("%d drivers, or one with a long name", len(s.Drivers))
	}
	for b := s.Warm; len(b) > 0; b = b[4:] {
		s.warm = append(s.warm, binary.BigEndian.Uint32(b))
	}
	if !slices.IsSorted(s.warm) {
		return s, errors.New("revisions out of order")
	}
	s.Warm = nil
	return s, nil
}
