package sigv4

import "time"

// NewOnceOf is NewOnce with another bound.
func NewOnceOf(now time.Time, most int) *Once {
	o := NewOnce(now)
	o.most = most
	return o
}

// Size is how many are remembered.
func (o *Once) Size() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.size
}
