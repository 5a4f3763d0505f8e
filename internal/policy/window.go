package policy

// Window remembers the times of the last cold starts of a function, as many as it takes to
// answer "more than threshold of them inside the window?". The zero value is empty.
//
// It never looks at more than one entry: the (threshold+1)th last cold start is inside the
// window exactly when more than threshold are.
type Window struct {
	times []int64 // a ring, sized threshold+1 at the first cold start
	next  int32   // where the next time goes
	count int32   // how many are filled
}

// Add notes a cold start. Times do not go backwards.
func (w *Window) Add(now int64, threshold int32) {
	want := max(int(threshold)+1, 1)
	if len(w.times) != want {
		w.resize(want)
	}
	w.times[w.next] = now
	if w.next++; int(w.next) == len(w.times) {
		w.next = 0
	}
	if int(w.count) < len(w.times) {
		w.count++
	}
}

// Exceeds reports whether more than threshold cold starts were inside the window that ends
// now. With a threshold larger than the one that Add was given last it says false until
// enough were added.
func (w *Window) Exceeds(now, window int64, threshold int32) bool {
	if threshold < 0 {
		return true
	}
	if w.count <= threshold {
		return false
	}
	return w.nth(threshold) > now-window
}

// Count is how many of the remembered cold starts were inside the window that ends now.
func (w *Window) Count(now, window int64) int {
	n := 0
	for n < int(w.count) && w.nth(int32(n)) > now-window {
		n++
	}
	return n
}

// nth is the time of the nth last cold start, from 0.
func (w *Window) nth(n int32) int64 {
	i := int(w.next) - 1 - int(n)
	if i < 0 {
		i += len(w.times)
	}
	return w.times[i]
}

// resize keeps the latest times.
func (w *Window) resize(size int) {
	keep := min(int(w.count), size)
	times := make([]int64, size)
	for i := range keep {
		times[keep-1-i] = w.nth(int32(i))
	}
	w.times, w.count, w.next = times, int32(keep), int32(keep%size)
}
