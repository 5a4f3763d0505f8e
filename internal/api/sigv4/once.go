package sigv4

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"sync"
	"time"
)

// Once remembers the signatures that were accepted for as long as they hold, so that what was heard on
// its way cannot be sent again. Its methods may be called concurrently.
//
// Two requests that are signed in the same second, in the same words, have the same signature. For most
// SDKs that is no matter: they sign a number of their own with each request (amz-sdk-invocation-id).
// boto3 and the AWS CLI send that number and do not sign it. So where the caller of Use says that a
// repetition does no harm, another number is taken for another call: for a moment, and from the same address.
type Once struct {
	mu      sync.Mutex
	size    int
	minutes map[int64]*minute // by when what is in it ends to hold, Unix minutes
	// before is the time up to which signatures are not accepted, since it is not known any more which were.
	before time.Time
	most   int
}

type minute struct {
	used   map[id]first
	signed time.Time // the latest
}

type id [16]byte

// first is the first use of a signature; the zero value stands for one of its repetitions.
type first struct {
	at   int64 // Unix seconds
	from [8]byte
}

const (
	// sameMoment is how long repetitions may come after the first use: boto3 signs each try anew.
	sameMoment = 5
	// mostUsed signatures are remembered, some 50 MB of them; of more the oldest are refused.
	mostUsed = 1 << 20
)

// NewOnce remembers from now on. What was signed before, to the second, is not accepted.
func NewOnce(now time.Time) *Once {
	return &Once{minutes: map[int64]*minute{}, before: now.Truncate(time.Second), most: mostUsed}
}

// Use takes a checked claim. from is the client's address, call what tells its calls apart, empty if
// nothing does; repeatable says that another call in the same words may be meant, and does no harm if
// not. The error is ErrUsed or ErrSame; forget takes the use back, for a request that did nothing.
func (o *Once) Use(c *Claim, from, call string, repeatable bool, now time.Time) (forget func(), err error) {
	raw, err := hex.DecodeString(c.signature)
	if err != nil || len(raw) != sha256.Size {
		return nil, ErrMalformed // Check has made sure that it is not
	}
	signature := id(raw[:16])
	use := signature
	if call != "" {
		sum := sha256.Sum256(append(raw, call...))
		use = id(sum[:16])
	}
	fromSum := sha256.Sum256([]byte(from))
	mine := first{now.Unix(), [8]byte(fromSum[:8])}

	o.mu.Lock()
	defer o.mu.Unlock()
	o.trim(now)
	if c.At.Before(o.before) {
		return nil, fmt.Errorf("%w (what was signed before the server's start, or too long ago, may have been)", ErrUsed)
	}
	key := c.Until.Unix() / 60
	m := o.minutes[key]
	if m == nil {
		m = &minute{used: map[id]first{}}
		o.minutes[key] = m
	}
	if _, again := m.used[use]; again {
		return nil, ErrUsed
	}
	former, used := m.used[signature]
	if used && call == "" {
		return nil, ErrUsed
	}
	if used && !(repeatable && bytes.Equal(former.from[:], mine.from[:]) && mine.at-former.at <= sameMoment) {
		return nil, ErrSame
	}
	if c.At.After(m.signed) {
		m.signed = c.At
	}
	before := len(m.used)
	if !used {
		m.used[signature] = mine
	}
	if use != signature {
		m.used[use] = first{}
	}
	o.size += len(m.used) - before
	return func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		before := len(m.used)
		delete(m.used, use)
		if !used {
			delete(m.used, signature)
		}
		if o.minutes[key] == m {
			o.size -= before - len(m.used)
		}
	}, nil
}

// trim drops what does not hold any more, and the oldest if there is too much. o.mu is held.
func (o *Once) trim(now time.Time) {
	for key, m := range o.minutes {
		if (key+1)*60 <= now.Unix() {
			o.drop(key, m)
		}
	}
	for o.size >= o.most {
		var oldest int64
		for key := range o.minutes {
			if oldest == 0 || key < oldest {
				oldest = key
			}
		}
		m := o.minutes[oldest]
		if after := m.signed.Add(time.Second); after.After(o.before) {
			o.before = after
		}
		o.drop(oldest, m)
	}
}

func (o *Once) drop(key int64, m *minute) {
	o.size -= len(m.used)
	delete(o.minutes, key)
}
