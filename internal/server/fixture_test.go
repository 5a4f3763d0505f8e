package server_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/cloudjit/cloudjit/internal/cgroup"
	"github.com/cloudjit/cloudjit/internal/config"
	"github.com/cloudjit/cloudjit/internal/server"
	"github.com/cloudjit/cloudjit/internal/toolchain"
	"github.com/cloudjit/cloudjit/internal/ziptest"
)

// childEnv makes the test binary a server, in a process that can be killed.
const childEnv = "CLOUDJIT_TEST_SERVER"

// childOptions are what the variable holds.
type childOptions struct {
	Config config.Config
	Cache  string
}

func TestMain(m *testing.M) {
	if doc := os.Getenv(childEnv); doc != "" {
		if err := serveChild(doc); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

func serveChild(doc string) error {
	var o childOptions
	if err := json.Unmarshal([]byte(doc), &o); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	s, err := server.Start(ctx, server.Options{Config: o.Config, Cache: o.Cache, Version: "test", Log: log})
	if err != nil {
		return err
	}
	fmt.Println(s.Addr())
	<-ctx.Done()
	ending, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	return s.Stop(ending)
}

// newOptions are of a server with everything in a folder of the test's, of which tmp is for its temporary files.
func newOptions(t *testing.T) (o childOptions, dir, tmp string) {
	t.Helper()
	dir = t.TempDir()
	tmp = filepath.Join(dir, "tmp")
	if err := os.Mkdir(tmp, 0o777); err != nil {
		t.Fatal(err)
	}
	o = childOptions{Config: config.Default(), Cache: filepath.Join(dir, "cache")}
	o.Config.Listen, o.Config.Data = "127.0.0.1:0", filepath.Join(dir, "data")
	return o, dir, tmp
}

// child is a server in a process of its own.
type child struct {
	cmd *exec.Cmd
	url string
	log *os.File
}

// spawn starts a server whose temporary files go to tmp, and waits until it listens.
func spawn(t *testing.T, o childOptions, tmp string) *child {
	t.Helper()
	doc, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { // a server that was killed leaves them to its next start
		if err := cgroup.Clean(o.groups(), func(string) bool { return true }); err != nil {
			t.Error(err)
		}
	})
	c := &child{cmd: exec.Command(os.Args[0])}
	c.cmd.Env = append(os.Environ(), childEnv+"="+string(doc), "TMPDIR="+tmp)
	if c.log, err = os.OpenFile(filepath.Join(filepath.Dir(tmp), "server.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600); err != nil {
		t.Fatal(err)
	}
	c.cmd.Stderr = c.log
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		_ = c.cmd.Process.Kill()
		_ = c.cmd.Wait()
		b, _ := os.ReadFile(c.log.Name())
		t.Fatalf("the server did not start: %v\n%s", err, b)
	}
	c.url = "http://" + strings.TrimSpace(line)
	return c
}

// end sends a signal and waits for the end.
func (c *child) end(sig syscall.Signal) error {
	_ = c.cmd.Process.Signal(sig)
	err := c.cmd.Wait()
	_ = c.log.Close()
	return err
}

// call sends one request; doc may be nil. The error is of the connection.
func (c *child) call(method, path string, doc any, headers ...string) (int, http.Header, []byte, error) {
	var body io.Reader
	if doc != nil {
		b, err := json.Marshal(doc)
		if err != nil {
			return 0, nil, nil, err
		}
		body = bytes.NewReader(b)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, c.url+path, body)
	if err != nil {
		return 0, nil, nil, err
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, nil, nil, err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	return res.StatusCode, res.Header, b, err
}

// must is call for what has to succeed.
func (c *child) must(t *testing.T, method, path string, doc any) []byte {
	t.Helper()
	status, _, b, err := c.call(method, path, doc)
	if err != nil || status >= 300 {
		t.Fatalf("%s %s: got %d %s, %v", method, path, status, b, err)
	}
	return b
}

const functionsPath = "/2015-03-31/functions"

// create makes a function and waits until it is active.
func (c *child) create(t *testing.T, name, runtime, handler string, archive []byte, more map[string]any) {
	t.Helper()
	doc := map[string]any{
		"FunctionName": name, "Runtime": runtime, "Handler": handler, "Role": "arn:aws:iam::000000000000:role/r",
		"Code": map[string]string{"ZipFile": base64.StdEncoding.EncodeToString(archive)},
	}
	for k, v := range more {
		doc[k] = v
	}
	c.must(t, "POST", functionsPath, doc)
	until(t, name+" is active", func() bool {
		_, _, b, _ := c.call("GET", functionsPath+"/"+name+"/configuration", nil)
		return bytes.Contains(b, []byte(`"State":"Active"`))
	})
}

// until waits, for at most half a minute, for something to become true.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("after half a minute it is not so that %s", what)
		}
	}
}

// processes lists those whose environment or command line holds a text, but for this one.
func processes(text string) (pids []int) {
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		pid, _ := strconv.Atoi(filepath.Base(dir))
		if pid == os.Getpid() {
			continue
		}
		for _, file := range []string{"environ", "cmdline"} {
			if b, err := os.ReadFile(filepath.Join(dir, file)); err == nil && bytes.Contains(b, []byte(text)) {
				pids = append(pids, pid)
				break
			}
		}
	}
	return pids
}

// groups is what the names of the control groups of a server's workers begin with: see the process driver.
func (o *childOptions) groups() string {
	sum := sha256.Sum256([]byte(filepath.Join(o.Config.Data, "workers")))
	return "cloudjit-" + hex.EncodeToString(sum[:6]) + "-"
}

// leftovers lists what should not outlive a server: mounts, control groups and files that look temporary.
func leftovers(t *testing.T, o childOptions, tmp string) (found []string) {
	t.Helper()
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(line, o.Config.Data) || strings.Contains(line, o.Cache) {
			found = append(found, "mount "+line)
		}
	}
	group := o.groups()
	_ = filepath.WalkDir("/sys/fs/cgroup", func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && strings.HasPrefix(d.Name(), group) {
			found = append(found, "control group "+path)
		}
		return nil
	})
	for _, pattern := range []string{
		filepath.Join(tmp, "*"), filepath.Join("/dev/shm", group+"workers"), filepath.Join("/run", group+"workers"), filepath.Join(o.Config.Data, "workers", "root"),
		filepath.Join(o.Config.Data, "run", "trace", "*"),
		filepath.Join(o.Config.Data, "artifacts", "tmp", "*"), filepath.Join(o.Cache, "native", "scratch", "*"),
	} {
		files, _ := filepath.Glob(pattern)
		found = append(found, files...)
	}
	return found
}

var programs = struct {
	sync.Mutex
	built map[string][]byte
}{built: map[string][]byte{}}

// guestProgram is testdata/guest, compiled.
func guestProgram(t *testing.T) []byte {
	t.Helper()
	programs.Lock()
	defer programs.Unlock()
	if b, ok := programs.built["guest"]; ok {
		return b
	}
	file := filepath.Join(t.TempDir(), "guest")
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", file, "./testdata/guest")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build the guest: %v\n%s", err, out)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	programs.built["guest"] = b
	return b
}

// javaJar compiles a class of testdata; main says whether the archive names it. More are names and contents, in turn.
func javaJar(t *testing.T, class string, main bool, more ...string) []byte {
	t.Helper()
	jdks := toolchain.FindJDKs(toolchain.FindOptions{})
	if len(jdks) == 0 || jdks[0].Feature() < 21 {
		t.Skip("SKIPPED: there is no JDK of Java 21 or newer")
	}
	dir := t.TempDir()
	cmd := exec.Command(filepath.Join(jdks[0].Home, "bin", "javac"), "--release", "21", "-d", dir, filepath.Join("testdata", class+".java"))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("compile %s: %v\n%s", class, err, out)
	}
	b, err := os.ReadFile(filepath.Join(dir, class+".class"))
	if err != nil {
		t.Fatal(err)
	}
	manifest := "Manifest-Version: 1.0\r\n"
	if main {
		manifest += "Main-Class: " + class + "\r\n"
	}
	return ziptest.Of(t, append([]string{"META-INF/MANIFEST.MF", manifest + "\r\n", class + ".class", string(b)}, more...)...)
}
