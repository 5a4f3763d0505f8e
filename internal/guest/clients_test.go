package guest

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cloudjit/cloudjit/internal/config"
	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/worker"
)

// TestPublishedClients: the Runtime API is Lambda's, so other people's runtime clients work: AWS's
// for Python, and the loop with curl that AWS's documentation shows for a custom runtime.
func TestPublishedClients(t *testing.T) {
	python := filepath.Join(config.CacheDir(), "python", "current", "bin", "python3")
	for name, command := range map[string][]string{
		"awslambdaric": {python, "-m", "awslambdaric", "echo.handler"},
		"curl":         {"bash", "bootstrap"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := exec.LookPath(command[0]); err != nil {
				t.Skipf("SKIPPED: %v (make test-prerequisites)", err)
			}
			if command[0] == python && exec.Command(python, "-c", "import awslambdaric").Run() != nil {
				t.Skip("SKIPPED: awslambdaric is not installed (make test-prerequisites)")
			}
			s, base := start(t)
			cmd := exec.Command(command[0], command[1:]...)
			cmd.Dir = "testdata"
			cmd.Env = append(os.Environ(), "AWS_LAMBDA_RUNTIME_API="+strings.Split(base, "/")[2], "TMPDIR="+t.TempDir())
			cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // the loop's curl must end with it
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			defer func() {
				group := -cmd.Process.Pid
				_ = syscall.Kill(group, syscall.SIGKILL)
				_ = cmd.Wait()
				for end := time.Now().Add(2 * time.Second); syscall.Kill(group, 0) == nil && time.Now().Before(end); { // nothing may write into the folder any more
					time.Sleep(time.Millisecond)
				}
			}()
			large := `"` + strings.Repeat("x", 5<<20) + `"` // curl asks before it sends that much
			for _, payload := range []string{`{"a":1}`, `[]`, large, `"end"`} {
				select {
				case a := <-invoke(s, &worker.Invocation{RequestID: "r", Payload: []byte(payload), Deadline: time.Now().Add(time.Minute), FunctionARN: "arn:aws:lambda:us-east-1:1:function:f"}):
					if a.err != nil || a.res.Outcome != function.OutcomeOK || strings.ReplaceAll(string(a.res.Payload), " ", "") != payload {
						t.Fatalf("got %+v, %v, want %.100s", a.res, a.err, payload)
					}
				case <-time.After(30 * time.Second):
					t.Fatalf("no answer to %.100s", payload)
				}
			}
		})
	}
}
