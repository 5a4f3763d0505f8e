package libtable

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cloudjit/cloudjit/internal/assets"
	"github.com/cloudjit/cloudjit/internal/metadata"
	"github.com/cloudjit/cloudjit/internal/toolchain"
)

const handlerSource = `
import java.util.Properties;

public class Handler {
    public static class Late {}

    public static String handle(String name) throws Exception {
        System.getProperties().list(new java.io.PrintStream(java.io.OutputStream.nullOutputStream()));
        return Class.forName("Handler$" + name).getSimpleName();
    }
}
`

// TestFirstAnswerLeavesItsMetadata kills a worker in the moment in which its first answer
// arrives: what that invocation used must be on disk.
func TestFirstAnswerLeavesItsMetadata(t *testing.T) {
	jdk := newestJDK(t)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "Handler.java"), []byte(handlerSource), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(filepath.Join(jdk.Home, "bin", "javac"), "-d", dir, filepath.Join(dir, "Handler.java")).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	option, err := metadata.Tracer{Jar: install(t, assets.Tracer)}.JVMOption(dir, "", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(jdk.Home, "bin", "java"), option, "-cp", install(t, assets.Runtime)+":"+dir,
		"dev.cloudjit.runtime.Main", "Handler::handle")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	answer := make(chan string, 1)
	var asked atomic.Bool
	api := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method == http.MethodGet && asked.CompareAndSwap(false, true):
			w.Header().Set("Lambda-Runtime-Aws-Request-Id", "1")
			w.Header().Set("Lambda-Runtime-Deadline-Ms", fmt.Sprint(time.Now().Add(time.Minute).UnixMilli()))
			io.WriteString(w, `"Late"`)
		case r.Method == http.MethodPost:
			cmd.Process.Kill()
			body, _ := io.ReadAll(r.Body) // the process is gone: what came is the answer
			answer <- r.URL.Path + " " + string(body)
		}
	}))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	api.Listener = l
	cmd.Env = append(os.Environ(), "AWS_LAMBDA_RUNTIME_API="+l.Addr().String())
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	api.Start()
	defer api.Close()
	err = cmd.Wait()
	if asked.Load() == false || ctx.Err() != nil {
		t.Fatalf("the client asked for no invocation: %v\n%s", err, &stderr)
	}
	if got := <-answer; !strings.HasSuffix(got, `/invocation/1/response "Late"`) {
		t.Errorf("the answer is %s", got)
	}
	data, err := os.ReadFile(filepath.Join(dir, metadata.TraceFile))
	if err != nil {
		t.Fatal(err)
	}
	set, err := metadata.Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	if want := (metadata.Element{Kind: metadata.KindType, Type: "Handler$Late"}); !set.Contains(want) {
		t.Errorf("%v is not in the trace:\n%s", want, data)
	}
}

func newestJDK(t *testing.T) toolchain.JDK {
	t.Helper()
	for _, jdk := range toolchain.FindJDKs(toolchain.FindOptions{}) {
		if jdk.Feature() >= 25 {
			return jdk
		}
	}
	t.Skip("SKIPPED: there is no JDK 25, which the tracer needs")
	return toolchain.JDK{}
}

func install(t *testing.T, name string) string {
	t.Helper()
	path, err := assets.Install(t.TempDir(), name)
	if err != nil {
		t.Skip("SKIPPED: " + err.Error())
	}
	return path
}
