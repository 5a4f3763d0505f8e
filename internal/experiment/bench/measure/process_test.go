package measure

import (
	"strings"
	"testing"

	"github.com/cloudjit/cloudjit/internal/worker"
)

// TestBareIsTheSandboxesCommand: the same program, options and class path, at the host's places.
func TestBareIsTheSandboxesCommand(t *testing.T) {
	c := bare(worker.Spec{
		Path: "/opt/java/bin/java", Dir: "/var/task",
		Args: []string{"-Xmx384m", "-cp", "/opt/cloudjit/runtime/runtime.jar:/var/task/app.jar:/var/task/lib/a.jar", "a.Main"},
		Env:  []string{"JAVA_HOME=/opt/java", "LAMBDA_TASK_ROOT=/var/task", "TZ=:UTC"},
		Mounts: []worker.Mount{
			{Source: "/data/code/", Target: "/var/task"}, {Source: "/usr/lib/jvm/25", Target: "/opt/java"},
			{Source: "/cache/1", Target: "/opt/cloudjit/runtime"},
		},
	})
	want := "/usr/lib/jvm/25/bin/java -Xmx384m -cp /cache/1/runtime.jar:/data/code/app.jar:/data/code/lib/a.jar a.Main"
	if c.String() != want || c.dir != "/data/code" || strings.Join(c.env, " ") != "JAVA_HOME=/usr/lib/jvm/25 LAMBDA_TASK_ROOT=/data/code TZ=:UTC" {
		t.Errorf("got %s in %s with %q\nwant %s", c, c.dir, c.env, want)
	}
}
