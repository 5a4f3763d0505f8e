package spool_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"runtime"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"pgregory.net/rapid"

	"github.com/cloudjit/cloudjit/internal/spool"
)

func open(t testing.TB, memory, disk int64) *spool.Pool {
	t.Helper()
	dir, err := os.MkdirTemp("", "spool-test-")
	if err != nil {
		t.Fatal(err)
	}
	p, err := spool.Open(spool.Options{Dir: dir, Memory: memory, Disk: disk})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if left, _ := os.ReadDir(dir); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
		_ = p.Close()
		_ = os.RemoveAll(dir)
	})
	return p
}

func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i*7 + i>>8 + i>>16)
	}
	return b
}

// TestBodiesComeOutAsTheyWentIn: of any size, in any pieces, several at once, and nothing is held after.
func TestBodiesComeOutAsTheyWentIn(t *testing.T) {
	p := open(t, 64<<10, 64<<20)
	rapid.Check(t, func(t *rapid.T) {
		var group sync.WaitGroup
		for range rapid.IntRange(1, 4).Draw(t, "bodies") {
			want := pattern(rapid.SampledFrom([]int{0, 1, 511, 512, 513, 4095, 4096, 4097, 32767, 32768, 32769, 262144, 262145, 1 << 20, 3<<20 + 5}).Draw(t, "size"))
			slow := rapid.Bool().Draw(t, "slow")
			group.Go(func() {
				var r io.Reader = bytes.NewReader(want)
				if slow {
					r = iotest.HalfReader(r)
				}
				b, err := p.Read(r, 4<<20)
				if err != nil {
					t.Error(err)
					return
				}
				defer b.Close()
				for range 2 {
					got, err := io.ReadAll(b.Reader())
					if err != nil || !bytes.Equal(got, want) {
						t.Errorf("of %d bytes: got %d, %v", len(want), len(got), err)
					}
				}
				if got, err := b.Bytes(); err != nil || !bytes.Equal(got, want) || b.Size() != int64(len(want)) {
					t.Errorf("of %d bytes: got %d (%d), %v", len(want), len(got), b.Size(), err)
				}
				if _, ok := b.Memory(); !ok && len(want) <= 4096 || ok && len(want) > spool.BlockSize {
					t.Errorf("of %d bytes: in memory %t", len(want), ok)
				}
			})
		}
		group.Wait()
	})
	if u := p.Usage(); u.Memory != 0 || u.Disk != 0 {
		t.Errorf("held when all are closed: %+v", u)
	}
}

// TestBudgets: what does not fit is refused, gives back what it held, and fits when there is room.
func TestBudgets(t *testing.T) {
	p := open(t, spool.BlockSize, 2<<20)
	one, err := p.Read(bytes.NewReader(pattern(1<<20)), 4<<20)
	if err != nil {
		t.Fatal(err)
	}
	if u := p.Usage(); u.Memory != 0 || u.Disk != 1<<20 {
		t.Errorf("one that waits: %+v", u)
	}
	small, err := p.Read(bytes.NewReader(pattern(20_000)), 4<<20)
	if err != nil {
		t.Fatal(err)
	}
	if u := p.Usage(); u.Memory != spool.BlockSize || u.Disk != 1<<20 {
		t.Errorf("and a small one: %+v", u)
	}
	second, err := p.Read(bytes.NewReader(pattern(20_000)), 4<<20) // there is no block left
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Read(bytes.NewReader(pattern(1<<20)), 4<<20); !errors.Is(err, spool.ErrFull) {
		t.Errorf("beyond the budget: got %v", err)
	}
	if _, err := p.Read(bytes.NewReader(pattern(1<<20)), 100_000); !errors.Is(err, spool.ErrTooLarge) {
		t.Errorf("beyond the limit: got %v", err)
	}
	if _, err := p.Read(io.MultiReader(bytes.NewReader(pattern(100_000)), iotest.ErrReader(io.ErrUnexpectedEOF)), 1<<20); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("one that breaks off: got %v", err)
	}
	for _, b := range []*spool.Body{one, small, second} {
		_ = b.Close()
		_ = b.Close()
	}
	if u := p.Usage(); u.Memory != 0 || u.Disk != 0 {
		t.Errorf("held when all are closed: %+v", u)
	}
	again, err := p.Read(bytes.NewReader(pattern(2<<20)), 4<<20)
	if err != nil {
		t.Errorf("when there is room: %v", err)
	} else {
		_ = again.Close()
	}
}

// TestLostBodies: nobody closes them.
func TestLostBodies(t *testing.T) {
	p := open(t, 1<<20, 4<<20)
	for range 100 {
		var err error
		for range 100 { // the collector's cleanups run behind it
			if _, err = p.Read(bytes.NewReader(pattern(1<<20)), 1<<20); err == nil {
				break
			}
			runtime.GC()
			time.Sleep(10 * time.Millisecond)
		}
		if err != nil {
			t.Fatalf("a lost body holds its disk: %v", err)
		}
	}
}
