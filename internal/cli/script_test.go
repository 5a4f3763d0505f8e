package cli

import (
	"archive/zip"
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/toolchain"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"cloudjit": func() { os.Exit(Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) },
	})
}

// TestCommands runs the scripts of testdata/script: each is a user at a shell, against servers
// with real workers.
func TestCommands(t *testing.T) {
	bootstrap := sync.OnceValues(func() (string, error) { return buildEcho(t) })
	orders, err := filepath.Abs("../../java/samples/orders/target/orders.jar")
	if err != nil {
		t.Fatal(err)
	}
	web, err := filepath.Abs("../../java/samples/hello-web/target/hello-web.jar")
	if err != nil {
		t.Fatal(err)
	}
	classes, err := filepath.Abs("../jar/testdata/classes")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script", RequireExplicitExec: true, RequireUniqueNames: true,
		Setup: func(e *testscript.Env) error {
			e.Setenv("ORDERS", orders)
			e.Setenv("HELLO_WEB", web)
			e.Setenv("CLASSES", classes)
			exe, err := exec.LookPath("cloudjit")
			if err != nil {
				return err
			}
			e.Setenv("BIN", filepath.Dir(exe))
			// Nothing of the user's, no builder but what a script makes, and no server but its own.
			e.Setenv("HOME", e.WorkDir)
			e.Setenv("CLOUDJIT_CACHE", filepath.Join(e.WorkDir, "cache"))
			e.Setenv("CLOUDJIT_ENDPOINT", "http://127.0.0.1:1")
			e.Setenv("JAVA_HOME", os.Getenv("JAVA_HOME"))
			return nil
		},
		Condition: func(cond string) (bool, error) {
			if cond == "interpreters" {
				kinds := map[function.Kind]bool{}
				for _, i := range toolchain.FindInterpreters(t.Context(), toolchain.InterpreterOptions{}) {
					kinds[i.Kind] = true
				}
				return len(kinds) == 2, nil
			}
			if cond != "samples" {
				return false, fmt.Errorf("unknown condition %q", cond)
			}
			for _, archive := range []string{orders, web} {
				if _, err := os.Stat(archive); err != nil {
					return false, nil
				}
			}
			return true, nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"serve": serveScript, "halt": haltScript, "exits": exitsScript, "shape": shapeScript, "keeps": keepsScript, "eventually": eventuallyScript,
			"zip": func(ts *testscript.TestScript, _ bool, args []string) {
				ts.Check(zipFiles(ts, args[0], args[1:]))
			},
			// cut FILE OUT N copies the first N bytes, or all but the last -N.
			"cut": func(ts *testscript.TestScript, _ bool, args []string) {
				b := ts.ReadFile(args[0])
				n, err := strconv.Atoi(args[2])
				ts.Check(err)
				if n < 0 {
					n += len(b)
				}
				ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(b[:n]), 0o600))
			},
			// damage FILE OUT N copies a file with other bytes from N on.
			"damage": func(ts *testscript.TestScript, _ bool, args []string) {
				b := []byte(ts.ReadFile(args[0]))
				n, err := strconv.Atoi(args[2])
				ts.Check(err)
				for i := n; i < min(n+8, len(b)); i++ {
					b[i] ^= 0x55
				}
				ts.Check(os.WriteFile(ts.MkAbs(args[1]), b, 0o600))
			},
			// echo-function FILE packs testdata/echo as a function.
			"echo-function": func(ts *testscript.TestScript, _ bool, args []string) {
				exe, err := bootstrap()
				ts.Check(err)
				ts.Check(zipFiles(ts, args[0], []string{"bootstrap=" + exe}))
			},
		},
	})
}

func buildEcho(t *testing.T) (string, error) {
	exe := filepath.Join(t.TempDir(), "bootstrap")
	cmd := exec.Command("go", "build", "-o", exe, "-ldflags=-s -w", "./testdata/echo")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the echo function: %w\n%s", err, out)
	}
	return exe, nil
}

// serveScript: serve [FLAG...] starts a server on the script's data folder and a free port, and points
// CLOUDJIT_ENDPOINT at it. Its log is server.log.
func serveScript(ts *testscript.TestScript, _ bool, args []string) {
	log, err := os.Create(ts.MkAbs("server.log"))
	ts.Check(err)
	defer log.Close()
	exe, err := exec.LookPath("cloudjit")
	ts.Check(err)
	cmd := exec.Command(exe, append([]string{"serve", "--listen", "127.0.0.1:0", "--data", ts.MkAbs("data")}, args...)...)
	cmd.Dir = ts.MkAbs(".") // what a flag names is in the script's folder
	cmd.Env, cmd.Stderr = scriptEnv(ts), log
	out, err := cmd.StdoutPipe()
	ts.Check(err)
	ts.Check(cmd.Start())
	line, _ := bufio.NewReader(out).ReadString('\n')
	if line == "" {
		_ = cmd.Wait() // its log says why
		ts.Fatalf("the server did not start:\n%s", ts.ReadFile("server.log"))
	}
	ts.Setenv("CLOUDJIT_ENDPOINT", strings.TrimSpace(line))
	servers.Store(ts, cmd)
	ts.Defer(func() {
		if _, running := servers.LoadAndDelete(ts); running {
			_ = cmd.Process.Signal(syscall.SIGTERM)
			_ = cmd.Wait()
		}
	})
}

// servers are the running ones, by their scripts.
var servers sync.Map

// haltScript ends the server as a user does, and wants it to end well. ("stop" would end the script.)
func haltScript(ts *testscript.TestScript, _ bool, _ []string) {
	server, running := servers.LoadAndDelete(ts)
	if !running {
		ts.Fatalf("no server runs")
	}
	cmd := server.(*exec.Cmd)
	ts.Check(cmd.Process.Signal(syscall.SIGTERM))
	if err := cmd.Wait(); err != nil {
		ts.Fatalf("the server ended with %v:\n%s", err, ts.ReadFile("server.log"))
	}
}

func scriptEnv(ts *testscript.TestScript) []string {
	env := os.Environ()
	for _, key := range []string{"HOME", "CLOUDJIT_CACHE", "JAVA_HOME", "PATH"} {
		env = append(env, key+"="+ts.Getenv(key))
	}
	return env
}

// exitsScript: exits N COMMAND... wants a certain exit code.
func exitsScript(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		if exit.ExitCode() != want {
			ts.Fatalf("exit code %d, want %d", exit.ExitCode(), want)
		}
	case err != nil:
		ts.Fatalf("%v", err)
	case want != 0:
		ts.Fatalf("exit code 0, want %d", want)
	}
}

// shapeScript: shape FILE OUT writes which members a JSON document has, and of which type, without their
// values: what a program that reads it relies on. FILE may be stdout.
func shapeScript(ts *testscript.TestScript, _ bool, args []string) {
	decode := json.NewDecoder(strings.NewReader(ts.ReadFile(args[0])))
	lines := map[string]bool{}
	for decode.More() {
		var doc any
		ts.Check(decode.Decode(&doc))
		shape(doc, ".", lines)
	}
	sorted := []string{}
	for line := range lines {
		sorted = append(sorted, line)
	}
	slices.Sort(sorted)
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(strings.Join(sorted, "\n")+"\n"), 0o644))
}

// keepsScript: keeps GOT WANT, two shapes: programs may rely on what is in WANT; there may be more.
func keepsScript(ts *testscript.TestScript, _ bool, args []string) {
	got := strings.Split(ts.ReadFile(args[0]), "\n")
	for line := range strings.Lines(ts.ReadFile(args[1])) {
		if !slices.Contains(got, strings.TrimSpace(line)) {
			ts.Fatalf("the document has no member %s any more; it has\n%s", strings.TrimSpace(line), strings.Join(got, "\n"))
		}
	}
}

func shape(v any, path string, lines map[string]bool) {
	switch v := v.(type) {
	case map[string]any:
		for key, member := range v {
			shape(member, strings.TrimSuffix(path, ".")+"."+key, lines)
		}
	case []any:
		if len(v) == 0 {
			lines[path+" list"] = true
		}
		for _, element := range v {
			shape(element, path+"[]", lines)
		}
	case nil:
		lines[path+" null"] = true
	default:
		lines[fmt.Sprintf("%s %s", path, map[string]string{"float64": "number", "bool": "bool", "string": "string"}[fmt.Sprintf("%T", v)])] = true
	}
}

// eventuallyScript: eventually REGEXP FILE waits until a file that something writes has a line.
func eventuallyScript(ts *testscript.TestScript, _ bool, args []string) {
	want := regexp.MustCompile("(?m)" + args[0])
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		b, err := os.ReadFile(ts.MkAbs(args[1])) // it may not be there yet
		if err == nil && want.Match(b) {
			return
		}
		if time.Now().After(end) {
			ts.Fatalf("no %q in %s:\n%s", args[0], args[1], b)
		}
	}
}

// zipFiles: zip FILE NAME=SOURCE... makes an archive; files are executable.
func zipFiles(ts *testscript.TestScript, archive string, files []string) error {
	out, err := os.Create(ts.MkAbs(archive))
	if err != nil {
		return err
	}
	defer out.Close()
	z := zip.NewWriter(out)
	for _, f := range files {
		name, source, _ := strings.Cut(f, "=")
		b, err := os.ReadFile(ts.MkAbs(source))
		if err != nil {
			return err
		}
		h := &zip.FileHeader{Name: name, Method: zip.Deflate}
		h.SetMode(0o755)
		w, err := z.CreateHeader(h)
		if err != nil {
			return err
		}
		if _, err := w.Write(b); err != nil {
			return err
		}
	}
	return z.Close()
}
