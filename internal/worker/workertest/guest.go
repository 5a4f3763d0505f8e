package workertest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Main runs the test program and exits if this process is one, and returns otherwise. A
// driver's TestMain calls it first, and its specifications run the test binary itself.
func Main() {
	switch g := Guest(os.Getenv(Env)); g {
	case "":
		return
	case Handler, Stubborn:
		if g == Stubborn {
			signal.Ignore(syscall.SIGTERM)
		} else {
			term := make(chan os.Signal, 1)
			signal.Notify(term, syscall.SIGTERM)
			go func() { <-term; os.Exit(143) }()
		}
		serve()
	case InitError:
		post("runtime/init/error", ErrorDocument{"Init.Boom", "no such handler", nil}, "Init.Boom")
		os.Exit(1)
	case ExitAtStart:
		fmt.Fprintln(os.Stderr, "cannot start")
		os.Exit(7)
	case Hang:
		for { // an empty select is a deadlock to the runtime of Go
			time.Sleep(time.Hour)
		}
	case Web:
		serveWeb()
	case JobExit, JobHang, JobBusy, JobGreedy, JobCurious, JobLeave:
		os.Exit(job(g))
	default:
		if g == "sleeper" {
			signal.Ignore(syscall.SIGTERM)
			time.Sleep(time.Hour)
		}
		if g == "spinner" {
			for {
				spun.Add(1)
			}
		}
		fmt.Fprintln(os.Stderr, "unknown guest", g)
		os.Exit(2)
	}
	os.Exit(0)
}

func api(path string) string {
	return "http://" + os.Getenv("AWS_LAMBDA_RUNTIME_API") + "/2018-06-01/" + path
}

func post(path string, body any, errorType string) {
	b, ok := body.([]byte)
	if !ok {
		b, _ = json.Marshal(body)
	}
	req, err := http.NewRequest(http.MethodPost, api(path), bytes.NewReader(b))
	must(err)
	req.Header.Set("Content-Type", "application/json")
	if errorType != "" {
		req.Header.Set("Lambda-Runtime-Function-Error-Type", errorType)
	}
	res, err := http.DefaultClient.Do(req)
	must(err)
	_, _ = io.Copy(io.Discard, res.Body)
	res.Body.Close()
}

// serve is the smallest runtime client.
func serve() {
	for {
		res, err := http.Get(api("runtime/invocation/next"))
		if errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) {
			// A restored worker has lost its connection.
			res, err = http.Get(api("runtime/invocation/next"))
		}
		must(err)
		payload, err := io.ReadAll(res.Body)
		must(err)
		res.Body.Close()
		base := "runtime/invocation/" + res.Header.Get("Lambda-Runtime-Aws-Request-Id")
		var c Command
		if err := json.Unmarshal(payload, &c); err != nil {
			post(base+"/error", ErrorDocument{"BadCommand", err.Error(), nil}, "BadCommand")
			continue
		}
		if c.Do == "stream" {
			stream(base, c)
			continue
		}
		out, err := do(c, res.Header)
		if err != nil {
			post(base+"/error", ErrorDocument{"Handler.Error", err.Error(), []string{"at do"}}, "Handler.Error")
			continue
		}
		post(base+"/response", out, "")
	}
}

// do carries out one command. This is the table that Command.Do names.
func do(c Command, h http.Header) ([]byte, error) {
	switch c.Do {
	case "echo":
		return json.Marshal(c.Text)
	case "fail":
		return nil, fmt.Errorf("%s", c.Text)
	case "exit": // with code N, after Text on stderr
		fmt.Fprintln(os.Stderr, c.Text)
		os.Exit(c.N)
	case "kill": // oneself, by a child outside of Go's signal handling
		return nil, syscall.Kill(os.Getpid(), syscall.SIGKILL)
	case "now": // ms since 1970
		return json.Marshal(time.Now().UnixMilli())
	case "sleep": // N ms
		time.Sleep(time.Duration(c.N) * time.Millisecond)
		return []byte(`"slept"`), nil
	case "big": // N MiB of answer
		return bytes.Repeat([]byte("x"), c.N<<20), nil
	case "allocate": // and touch N MiB
		kept = append(kept, touch(c.N<<20))
		return []byte(`"allocated"`), nil
	case "print": // Text N times to stdout
		for range c.N {
			fmt.Println(c.Text)
		}
		return []byte(`"printed"`), nil
	case "children": // N that ignore SIGTERM
		for range c.N {
			cmd := exec.Command("/proc/self/exe")
			cmd.Env = []string{Env + "=sleeper"}
			if err := cmd.Start(); err != nil {
				return nil, err
			}
		}
		return []byte(`"started"`), nil
	case "fork": // children until it fails; says how many there were
		haveThreads(16)
		n := 0
		for ; n < c.N; n++ {
			cmd := exec.Command("/proc/self/exe")
			cmd.Env = []string{Env + "=sleeper"}
			if cmd.Start() != nil {
				break
			}
		}
		return json.Marshal(n)
	case "spin": // go on computing after the answer, with N threads and a child
		for range c.N {
			go func() {
				for {
					spun.Add(1)
				}
			}()
		}
		cmd := exec.Command("/proc/self/exe")
		cmd.Env = []string{Env + "=spinner"}
		return []byte(`"spinning"`), cmd.Start()
	case "spun":
		return json.Marshal(spun.Load())
	case "take": // as many of the kind Text as there are, N at most, and keep them; says how many
		return json.Marshal(take(c.Text, c.N))
	case "stuff": // N loopback connections of the network Text whose buffers are filled; says how many bytes are in them
		return json.Marshal(stuff(c.Text, c.N))
	case "lock": // the file Text exclusively, and keep it; a file of /tmp is made
		flags := os.O_RDONLY
		if strings.HasPrefix(c.Text, "/tmp/") {
			flags = os.O_RDWR | os.O_CREATE
		}
		f, err := os.OpenFile(c.Text, flags, 0o600)
		if err != nil {
			return nil, err
		}
		locked = append(locked, f)
		return []byte(`"locked"`), syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	case "watch": // begin to watch the file Text
		if watching == 0 {
			fd, err := syscall.InotifyInit1(syscall.IN_NONBLOCK | syscall.IN_CLOEXEC)
			if err != nil {
				return nil, err
			}
			watching = fd
		}
		_, err := syscall.InotifyAddWatch(watching, c.Text, syscall.IN_ALL_EVENTS)
		return []byte(`"watching"`), err
	case "seen": // how many events since
		buf, n := make([]byte, 64<<10), 0
		for {
			k, err := syscall.Read(watching, buf)
			if err != nil || k <= 0 {
				return json.Marshal(n)
			}
			n += k / syscall.SizeofInotifyEvent
		}
	case "headers":
		return json.Marshal(h)
	case "env":
		return json.Marshal(os.Environ())
	case "id": // who we are, for what a runtime may rely on
		host, _ := os.Hostname()
		wd, _ := os.Getwd()
		return json.Marshal(map[string]any{"uid": os.Getuid(), "pid": os.Getpid(), "host": host, "wd": wd})
	case "read": // the file Text
		b, err := os.ReadFile(c.Text)
		if err != nil {
			return nil, err
		}
		return json.Marshal(string(b))
	case "readlink":
		to, err := os.Readlink(c.Text)
		if err != nil {
			return nil, err
		}
		return json.Marshal(to)
	case "list": // the folder Text
		es, err := os.ReadDir(c.Text)
		if err != nil {
			return nil, err
		}
		var names []string
		for _, e := range es {
			names = append(names, e.Name())
		}
		return json.Marshal(names)
	case "write": // N bytes, or one, into the file Text
		return []byte(`"written"`), os.WriteFile(c.Text, bytes.Repeat([]byte("t"), max(c.N, 1)), 0o644)
	case "fill": // N MiB into the file Text
		f, err := os.Create(c.Text)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		for range c.N {
			if _, err := f.Write(make([]byte, 1<<20)); err != nil {
				os.Remove(c.Text)
				return nil, err
			}
		}
		return []byte(`"filled"`), nil
	case "trace": // Text into the trace, by rename, as the tracer does
		dir := os.Getenv("WORKERTEST_TRACE")
		tmp := filepath.Join(dir, ".tmp")
		if err := os.WriteFile(tmp, []byte(c.Text), 0o644); err != nil {
			return nil, err
		}
		return []byte(`"traced"`), os.Rename(tmp, filepath.Join(dir, "reachability-metadata.json"))
	case "link": // the trace to the file Text
		return []byte(`"linked"`), os.Symlink(c.Text, filepath.Join(os.Getenv("WORKERTEST_TRACE"), "reachability-metadata.json"))
	case "dial": // the TCP address Text
		conn, err := net.DialTimeout("tcp", c.Text, 10*time.Second)
		if err != nil {
			return nil, err
		}
		conn.Close()
		return []byte(`"connected"`), nil
	case "syscall":
		return []byte(`"allowed"`), forbidden(c.Text)
	}
	return nil, fmt.Errorf("unknown command %q", c.Do)
}

// haveThreads makes threads that Go's runtime keeps: where it can make none when it needs one, the program ends.
func haveThreads(n int) {
	var all sync.WaitGroup
	all.Add(n)
	for range n {
		go func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			all.Done()
			all.Wait() // until each has its own
		}()
	}
	all.Wait()
}

// take makes as many of something that the kernel counts as it can.
func take(what string, most int) (n int) {
	for ; n < most; n++ {
		var e syscall.Errno
		switch what {
		case "inotify":
			_, _, e = syscall.RawSyscall(syscall.SYS_INOTIFY_INIT1, 0, 0, 0)
		case "pipe":
			var fds [2]int32
			_, _, e = syscall.RawSyscall(syscall.SYS_PIPE2, uintptr(unsafe.Pointer(&fds)), 0, 0)
		case "mqueue": // ten messages of 8 KiB
			name, _ := syscall.BytePtrFromString(fmt.Sprint("q", n))
			_, _, e = syscall.RawSyscall6(unix.SYS_MQ_OPEN, uintptr(unsafe.Pointer(name)), syscall.O_CREAT|syscall.O_RDWR, 0o600, 0, 0, 0)
		case "aio":
			var ctx uintptr
			_, _, e = syscall.RawSyscall(unix.SYS_IO_SETUP, 4096, uintptr(unsafe.Pointer(&ctx)), 0)
		default:
			e = syscall.ENOSYS
		}
		if e != 0 {
			return n
		}
	}
	return n
}

// stuff opens connections to itself that nobody reads from, and writes as much as goes in.
func stuff(network string, n int) (bytes int64) {
	l, err := net.Listen(network, "127.0.0.1:0")
	must(err)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			held = append(held, c)
		}
	}()
	block := make([]byte, 1<<20)
	for range n {
		c, err := net.Dial(network, l.Addr().String())
		if err != nil {
			return bytes
		}
		held = append(held, c)
		_ = c.SetWriteDeadline(time.Now().Add(20 * time.Millisecond))
		for err == nil {
			var k int
			k, err = c.Write(block)
			bytes += int64(k)
		}
	}
	return bytes
}

// forbidden tries one way out of the sandbox.
func forbidden(name string) error {
	switch name {
	case "mount":
		return syscall.Mount("t", "/tmp", "tmpfs", 0, "")
	case "unshare-user":
		return errno(syscall.RawSyscall(syscall.SYS_UNSHARE, syscall.CLONE_NEWUSER, 0, 0))
	case "clone-user":
		pid, _, e := syscall.RawSyscall6(syscall.SYS_CLONE, uintptr(syscall.SIGCHLD)|syscall.CLONE_NEWUSER, 0, 0, 0, 0, 0)
		if e == 0 && pid == 0 {
			syscall.RawSyscall(syscall.SYS_EXIT_GROUP, 0, 0, 0)
		}
		return errno(pid, 0, e)
	case "setuid-root":
		return errno(syscall.RawSyscall(syscall.SYS_SETUID, 0, 0, 0))
	case "ptrace":
		return errno(syscall.RawSyscall(syscall.SYS_PTRACE, syscall.PTRACE_TRACEME, 0, 0))
	case "raw-socket":
		return errno(syscall.RawSyscall(syscall.SYS_SOCKET, syscall.AF_INET, syscall.SOCK_RAW, syscall.IPPROTO_ICMP))
	case "packet-socket":
		return errno(syscall.RawSyscall(syscall.SYS_SOCKET, syscall.AF_PACKET, syscall.SOCK_RAW, 0))
	case "hostname":
		return syscall.Sethostname([]byte("mine"))
	case "chroot":
		return syscall.Chroot("/tmp")
	case "mknod":
		return syscall.Mknod("/tmp/disk", syscall.S_IFBLK|0o600, 8<<8)
	case "keyring": // KEYCTL_GET_KEYRING_ID of the session
		return errno(syscall.RawSyscall(250, 0, ^uintptr(2), 1))
	case "bpf":
		return errno(syscall.RawSyscall(321, 0, 0, 0))
	case "parent-death": // PR_SET_PDEATHSIG, to outlive the server
		return errno(syscall.RawSyscall(syscall.SYS_PRCTL, syscall.PR_SET_PDEATHSIG, 0, 0))
	}
	return fmt.Errorf("no such trial %q", name)
}

func errno(_, _ uintptr, e syscall.Errno) error {
	if e != 0 {
		return e
	}
	return nil
}

// stream answers in streaming mode: Text in N chunks; a Text of "break" ends with error trailers.
func stream(base string, c Command) {
	pr, pw := io.Pipe()
	req, err := http.NewRequest(http.MethodPost, api(base+"/response"), pr)
	must(err)
	req.Header.Set("Lambda-Runtime-Function-Response-Mode", "streaming")
	req.Header.Set("Content-Type", "text/plain")
	if c.Text == "break" {
		req.Trailer = http.Header{"Lambda-Runtime-Function-Error-Type": nil, "Lambda-Runtime-Function-Error-Body": nil}
	}
	go func() {
		for range c.N {
			_, _ = io.WriteString(pw, c.Text)
			time.Sleep(5 * time.Millisecond)
		}
		if c.Text == "break" {
			req.Trailer.Set("Lambda-Runtime-Function-Error-Type", "Stream.Broken")
			req.Trailer.Set("Lambda-Runtime-Function-Error-Body", "eyJlcnJvclR5cGUiOiJTdHJlYW0uQnJva2VuIn0=")
		}
		pw.Close()
	}()
	res, err := http.DefaultClient.Do(req)
	must(err)
	_, _ = io.Copy(io.Discard, res.Body)
	res.Body.Close()
}

// serveWeb is a small web application: /echo, /slow, /headers, /stream.
func serveWeb() {
	mux := http.NewServeMux()
	mux.HandleFunc("/echo/", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Path", r.URL.RequestURI())
		w.Header().Set("X-Method", r.Method)
		w.WriteHeader(http.StatusTeapot)
		_, _ = io.Copy(w, r.Body)
	})
	mux.HandleFunc("/stream", func(w http.ResponseWriter, r *http.Request) {
		for i := range 3 {
			fmt.Fprintf(w, "chunk %d\n", i)
			_ = http.NewResponseController(w).Flush()
			time.Sleep(20 * time.Millisecond)
		}
	})
	mux.HandleFunc("/headers", func(w http.ResponseWriter, r *http.Request) {
		h := r.Header.Clone()
		h.Set("Host", r.Host)
		_ = json.NewEncoder(w).Encode(h)
	})
	mux.HandleFunc("/exit", func(http.ResponseWriter, *http.Request) { os.Exit(3) })
	must(http.ListenAndServe(":"+os.Getenv("PORT"), mux))
}

var kept [][]byte

var (
	spun     atomic.Int64
	locked   []*os.File
	held     []net.Conn
	watching int
)

func touch(n int) []byte {
	b := make([]byte, n)
	for i := 0; i < n; i += 4096 {
		b[i] = 1
	}
	return b
}

func must(err error) {
	if err != nil {
		if !strings.Contains(err.Error(), "refused") {
			fmt.Fprintln(os.Stderr, "test program:", err)
		}
		os.Exit(9)
	}
}
