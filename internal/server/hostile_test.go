package server_test

import (
	"archive/zip"
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/cloudjit/cloudjit/internal/config"
	"github.com/cloudjit/cloudjit/internal/ziptest"
)

// single starts one server for a test and stops it at its end, when nothing may be left.
func single(t *testing.T, change func(*config.Config)) (*child, childOptions) {
	t.Helper()
	o, _, tmp := newOptions(t)
	o.Config.Policy.Enabled = false // builds are another test's
	if change != nil {
		change(&o.Config)
	}
	c := spawn(t, o, tmp)
	t.Cleanup(func() {
		if err := c.end(syscall.SIGTERM); err != nil {
			b, _ := os.ReadFile(c.log.Name())
			t.Errorf("a clean stop: %v\n%s", err, b[max(0, len(b)-16<<10):])
		}
		if left := leftovers(t, o, tmp); len(left) > 0 {
			t.Errorf("left behind: %q", left)
		}
	})
	return c, o
}

// patched changes the first header of an archive's directory and, of two bytes, its local copy.
func patched(archive []byte, central, local int, value uint16) []byte {
	b := bytes.Clone(archive)
	binary.LittleEndian.PutUint16(b[bytes.Index(b, []byte("PK\x01\x02"))+central:], value)
	binary.LittleEndian.PutUint16(b[local:], value)
	return b
}

// linkZip is an archive with a symbolic link.
func linkZip(t *testing.T) []byte {
	t.Helper()
	var out bytes.Buffer
	z := zip.NewWriter(&out)
	h := &zip.FileHeader{Name: "bootstrap"}
	h.SetMode(fs.ModeSymlink | 0o777)
	w, err := z.CreateHeader(h)
	if err == nil {
		_, err = io.WriteString(w, "/etc/passwd")
	}
	if err := errors.Join(err, z.Close()); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// TestHostileArchives: each is refused with a 4xx that says why, at creation and as an update; nothing of
// it stays, and the function that was to be updated serves on.
func TestHostileArchives(t *testing.T) {
	c, o := single(t, func(c *config.Config) { c.Limits.Unzipped, c.Limits.Code = 32<<20, 16<<20 })
	good := ziptest.Of(t, "bootstrap", string(guestProgram(t)))
	c.create(t, "served", "provided.al2023", "x", good, nil)
	kept := codeFiles(t, o.Config.Data)

	sh := "#!/bin/sh\n"
	zeros := string(make([]byte, 33<<20))
	deep := strings.Repeat("d/", 3000) + "f"
	for name, archive := range map[string][]byte{
		"nothing":             {},
		"text":                []byte("hello, world"),
		"no entries":          ziptest.Of(t),
		"truncated":           good[:len(good)/2],
		"truncated directory": good[:len(good)-10],
		"directory only":      good[bytes.LastIndex(good, []byte("PK\x01\x02")):],
		"slip":                ziptest.Of(t, "bootstrap", sh, "../../../../tmp/evil", "x"),
		"absolute":            ziptest.Of(t, "bootstrap", sh, "/etc/cron.d/evil", "x"),
		"backslash":           ziptest.Of(t, "bootstrap", sh, `..\..\evil`, "x"),
		"symbolic link":       linkZip(t),
		"bomb":                ziptest.Of(t, "bootstrap", sh, "zeros", zeros),
		"too large":           ziptest.Of(t, "bootstrap", sh, "noise", noise(17<<20)),
		"encrypted":           patched(ziptest.Of(t, "bootstrap", sh), 8, 6, 9),
		"unknown method":      patched(ziptest.Of(t, "bootstrap", sh), 10, 8, 97),
		"twice":               ziptest.Of(t, "bootstrap", sh, "bootstrap", "#!/bin/true\n"),
		"file and folder":     ziptest.Of(t, "bootstrap", sh, "a", "x", "a/b", "y"),
		"huge name":           ziptest.Of(t, "bootstrap", sh, strings.Repeat("n", 60_000), "x"),
		"long name":           ziptest.Of(t, "bootstrap", sh, strings.Repeat("n", 300), "x"),
		"deep":                ziptest.Of(t, "bootstrap", sh, deep, "x"),
		"control characters":  ziptest.Of(t, "bootstrap", sh, "a\x00b", "x"),
		"bootstrap is a dir":  ziptest.Of(t, "bootstrap/", "", "bootstrap/x", "y"),
		"no bootstrap":        ziptest.Of(t, "readme", "x"),
	} {
		t.Run(name, func(t *testing.T) {
			code := base64.StdEncoding.EncodeToString(archive)
			for what, send := range map[string]func() (int, http.Header, []byte, error){
				"create": func() (int, http.Header, []byte, error) {
					return c.call("POST", functionsPath, map[string]any{"FunctionName": "evil", "Runtime": "provided.al2023", "Handler": "x",
						"Role": "arn:aws:iam::000000000000:role/r", "Code": map[string]string{"ZipFile": code}})
				},
				"update": func() (int, http.Header, []byte, error) {
					return c.call("PUT", functionsPath+"/served/code", map[string]any{"ZipFile": code})
				},
			} {
				status, head, body, err := send()
				if err != nil || status < 400 || status > 499 || head.Get("X-Amzn-Errortype") == "" || len(body) < 20 {
					t.Errorf("%s: got %d %s, %v, want a refusal", what, status, clip(body), err)
				}
			}
		})
	}
	var got struct{ ID string }
	_ = json.Unmarshal(c.must(t, "POST", functionsPath+"/served/invocations", map[string]string{"id": "still"}), &got)
	if got.ID != "still" {
		t.Errorf("the function that was to be updated answers %q", got.ID)
	}
	if now := codeFiles(t, o.Config.Data); now != kept {
		t.Errorf("files of code: %s, before: %s", now, kept)
	}
}

// codeFiles lists what is below the folder of archives, the unpacked ones by their roots.
func codeFiles(t *testing.T, data string) string {
	t.Helper()
	var all []string
	for _, pattern := range []string{"blobs/*/*", "trees/*", "tmp/*"} {
		found, err := filepath.Glob(filepath.Join(data, "artifacts", pattern))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, found...)
	}
	return strings.Join(all, " ")
}

func clip(b []byte) []byte { return b[:min(len(b), 300)] }

// noise does not compress.
func noise(n int) string {
	b := make([]byte, n)
	x := uint64(88172645463325252)
	for i := range b {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		b[i] = byte(x)
	}
	return string(b)
}

// TestSlowClients: connections that send their heads a byte at a time, or nothing, are closed in their
// time, and others are served meanwhile.
func TestSlowClients(t *testing.T) {
	c, _ := single(t, nil)
	c.create(t, "f", "provided.al2023", "x", ziptest.Of(t, "bootstrap", string(guestProgram(t))), nil)
	const clients = 300
	closed := make(chan time.Duration, clients)
	for i := range clients {
		conn, err := net.Dial("tcp", strings.TrimPrefix(c.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		go func() {
			began := time.Now()
			if i%2 == 0 {
				go func() {
					for _, b := range []byte("POST " + functionsPath + "/f/invocations HTTP/1.1\r\nHost: localhost\r\nX-Slow: " + strings.Repeat("x", 1000)) {
						if _, err := conn.Write([]byte{b}); err != nil {
							return
						}
						time.Sleep(200 * time.Millisecond)
					}
				}()
			}
			_, _ = io.Copy(io.Discard, conn)
			closed <- time.Since(began)
		}()
	}
	var slowest time.Duration
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		began := time.Now()
		c.must(t, "POST", functionsPath+"/f/invocations", map[string]string{"id": "x"})
		slowest = max(slowest, time.Since(began))
	}
	t.Logf("the slowest answer beside %d slow clients took %s", clients, slowest)
	if slowest > 3*time.Second {
		t.Errorf("an answer took %s beside slow clients", slowest)
	}
	for range clients {
		select {
		case after := <-closed:
			if after < 5*time.Second {
				t.Errorf("a connection was closed after %s", after)
			}
		case <-time.After(30 * time.Second):
			t.Fatal("slow connections are still open after half a minute")
		}
	}
}

// TestAThousandFunctions: they are made at once, listed in pages, and there after a restart, which takes
// less than a few seconds on any machine.
func TestAThousandFunctions(t *testing.T) {
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	o, _, tmp := newOptions(t)
	c := spawn(t, o, tmp)
	defer func() { _ = c.end(syscall.SIGTERM) }()
	code := map[string]string{"ZipFile": base64.StdEncoding.EncodeToString(ziptest.Of(t, "bootstrap", "#!/bin/sh\n"))}
	began := time.Now()
	var clients sync.WaitGroup
	for k := range 8 {
		clients.Go(func() {
			for i := k; i < 1000; i += 8 {
				status, _, body, err := c.call("POST", functionsPath, map[string]any{"FunctionName": fmt.Sprintf("f%03d", i), "Runtime": "provided.al2023",
					"Handler": "x", "Role": "arn:aws:iam::000000000000:role/r", "Code": code})
				if err != nil || status != http.StatusCreated {
					t.Errorf("create %d: got %d %s, %v", i, status, body, err)
					return
				}
			}
		})
	}
	clients.Wait()
	made := time.Since(began)
	c.create(t, "real", "provided.al2023", "x", ziptest.Of(t, "bootstrap", string(guestProgram(t))), nil)
	if err := c.end(syscall.SIGKILL); err == nil {
		t.Error("a killed server ended well")
	}
	began = time.Now()
	c = spawn(t, o, tmp)
	started := time.Since(began)
	n, pages := 0, 0
	for marker := ""; ; pages++ {
		var page struct {
			Functions  []struct{ FunctionName, State string }
			NextMarker string
		}
		if err := json.Unmarshal(c.must(t, "GET", functionsPath+"/?MaxItems=50&Marker="+marker, nil), &page); err != nil {
			t.Fatal(err)
		}
		n += len(page.Functions)
		if marker = page.NextMarker; marker == "" {
			break
		}
	}
	if n != 1001 {
		t.Errorf("after a restart %d functions are listed, want 1001", n)
	}
	began = time.Now()
	c.must(t, "POST", functionsPath+"/real/invocations", map[string]string{"id": "x"})
	t.Logf("1000 functions made in %s, server up again after kill -9 in %s, listed in %d pages, first answer in %s", made, started, pages+1, time.Since(began))
	if started > 5*time.Second {
		t.Errorf("the server took %s to start", started)
	}
}
