package process

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Users is a range of the host's users for workers: First and the Count-1 that follow. Nothing else may have them.
type Users struct{ First, Count int }

// DefaultUsers are outside of what distributions give to people, services and subordinate users, and of what
// systemd gives to containers (https://systemd.io/UIDS-GIDS/).
var DefaultUsers = Users{First: 1_900_000_000, Count: 65_536}

// blockSize is how many users one server takes at once: more than it has functions with workers, as a rule.
const blockSize = 4096

func (u Users) String() string { return fmt.Sprintf("%d-%d", u.First, u.First+u.Count-1) }

func (u Users) overlaps(first, count int) bool {
	return first < u.First+u.Count && u.First < first+count
}

// taken says which line of /etc/passwd, /etc/group (passwd(5)), /etc/subuid or /etc/subgid (subuid(5)) has one of
// the users already; empty if none does.
func (u Users) taken(file, text string) string {
	for line := range strings.Lines(text) {
		f := strings.Split(strings.TrimSpace(line), ":")
		if len(f) < 3 {
			continue
		}
		first, count := f[2], "1"
		if strings.HasPrefix(filepath.Base(file), "sub") {
			first, count = f[1], f[2]
		}
		a, err := strconv.Atoi(first)
		n, err2 := strconv.Atoi(count)
		if err == nil && err2 == nil && u.overlaps(a, n) {
			return fmt.Sprintf("%s gives %s to %s", file, Users{a, n}, f[0])
		}
	}
	return ""
}

// mapped cuts the range down to what the server's user namespace has, as uid_map says (user_namespaces(7)): in a
// container there may be 65,536 users only. Then it is a part of those that no distribution gives to anybody.
func (u Users) mapped(uidMap string) (Users, error) {
	last := 0
	for line := range strings.Lines(uidMap) {
		f := strings.Fields(line)
		if len(f) != 3 {
			continue
		}
		first, err := strconv.Atoi(f[0])
		count, err2 := strconv.Atoi(f[2])
		if err != nil || err2 != nil {
			continue
		}
		if first <= u.First && u.First+u.Count <= first+count {
			return u, nil
		}
		if first <= containerUsers.First {
			last = max(last, first+count)
		}
	}
	if u == DefaultUsers && last >= containerUsers.First+containerUsers.Count {
		return containerUsers, nil
	}
	return Users{}, fmt.Errorf("the users %s are not those of this user namespace (/proc/self/uid_map)", u)
}

// containerUsers are above what useradd(8) gives by default, and below what Debian and systemd keep for services.
var containerUsers = Users{First: 61_000 - blockSize, Count: blockSize}

// users gives out the users of a range, one block after the other. A block is one server's: a lock says so that
// ends with the server. It is the driver's, under its mutex.
type users struct {
	all    Users
	locks  string // folder
	block  int    // the next one to try
	free   []int  // in the order in which they were given back: the next one has been nobody's for the longest time
	locked []*os.File
}

// newUsers checks a range against what this machine has.
func newUsers(all Users, locks, uidMap string, read func(file string) ([]byte, error)) (*users, error) {
	if all == (Users{}) {
		all = DefaultUsers
	}
	if all.First < 1000 || all.Count < 1 || all.First+all.Count > 1<<31 {
		return nil, fmt.Errorf("%w: %s", errUsers, "want a range within 1000..2147483647")
	}
	all, err := all.mapped(uidMap)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errUsers, err)
	}
	for _, file := range []string{"/etc/passwd", "/etc/group", "/etc/subuid", "/etc/subgid"} {
		b, err := read(file)
		if err != nil {
			continue
		}
		if why := all.taken(file, string(b)); why != "" {
			return nil, fmt.Errorf("%w: %s: choose a range that nobody has (workers.users)", errUsers, why)
		}
	}
	if err := os.MkdirAll(locks, 0o755); err != nil {
		return nil, fmt.Errorf("%w: %w", errUsers, err)
	}
	return &users{all: all, locks: locks}, nil
}

var errUsers = errors.New("host users for workers")

// take gives out a user that no other worker of this machine has.
func (u *users) take() (int, error) {
	if len(u.free) == 0 {
		if err := u.more(); err != nil {
			return 0, err
		}
	}
	uid := u.free[0]
	u.free = u.free[1:]
	return uid, nil
}

// give takes a user back that has no process any more.
func (u *users) give(uid int) { u.free = append(u.free, uid) }

// more locks the next block that no other server has.
func (u *users) more() error {
	for ; u.block*blockSize < u.all.Count; u.block++ {
		first := u.all.First + u.block*blockSize
		f, err := os.OpenFile(filepath.Join(u.locks, fmt.Sprintf("users-%d", first)), os.O_CREATE|os.O_RDWR|unix.O_NOFOLLOW, 0o600)
		if err != nil {
			return fmt.Errorf("%w: %w", errUsers, err)
		}
		if unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil {
			_ = f.Close() // another server has it
			continue
		}
		u.locked = append(u.locked, f)
		for uid := first; uid < min(first+blockSize, u.all.First+u.all.Count); uid++ {
			u.free = append(u.free, uid)
		}
		u.block++
		return nil
	}
	return fmt.Errorf("%w: all of %s are in use: give the server more (workers.users)", errUsers, u.all)
}

// close lets other servers have the users. Nothing of theirs may run any more.
func (u *users) close() {
	for _, f := range u.locked {
		_ = f.Close()
	}
	u.locked, u.free = nil, nil
}

// lockFolder is the machine's own for locks, which a restart of it empties.
const lockFolder = "/run/cloudjit"
