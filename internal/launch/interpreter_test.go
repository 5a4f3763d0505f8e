package launch

import (
	"slices"
	"strings"
	"testing"

	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/ladder"
	"github.com/cloudjit/cloudjit/internal/worker"
)

func scripted(kind function.Kind, runtime, handler string, env map[string]string) Request {
	return Request{
		ID: "w", Rung: ladder.Of(kind).Rungs[0],
		Revision: &function.Spec{ID: "r", Function: "f", Version: "$LATEST", Kind: kind, Runtime: runtime, Handler: handler, MemoryMiB: 128, Environment: env},
		Paths: Paths{Code: "/code", Client: "/assets/1/client", Interpreter: Interpreter{
			Release: "20", Program: "/home/u/versions/x/bin/program", Home: "/home/u/versions/x",
		}},
	}
}

// TestInterpreters: what is started for functions in Python and JavaScript, and what they see.
func TestInterpreters(t *testing.T) {
	for name, c := range map[string]struct {
		r    Request
		path string
		args []string
		env  []string
	}{
		"python": {
			scripted(function.KindPython, "python3.12", "app.handler", nil), "/home/u/versions/x/bin/program", []string{"/opt/cloudjit/runtime/bootstrap.py"},
			[]string{"AWS_EXECUTION_ENV=AWS_Lambda_python3.12", "_HANDLER=app.handler", "LAMBDA_TASK_ROOT=/var/task", "PYTHONPATH=/opt/cloudjit/runtime", "PATH=/home/u/versions/x/bin:/usr/local/bin:/usr/bin:/bin:/opt/bin"},
		},
		"a path of the user's": {
			scripted(function.KindPython, "python3.12", "app.handler", map[string]string{"PYTHONPATH": "/var/task/lib"}), "/home/u/versions/x/bin/program", []string{"/opt/cloudjit/runtime/bootstrap.py"},
			[]string{"PYTHONPATH=/var/task/lib"},
		},
		"node": {
			scripted(function.KindNode, "nodejs20.x", "index.handler", nil), "/home/u/versions/x/bin/program", []string{"--max-old-space-size=115", "/opt/cloudjit/runtime/bootstrap.js"},
			[]string{"AWS_EXECUTION_ENV=AWS_Lambda_nodejs20.x", "NODE_PATH=/opt/nodejs/node20/node_modules:/opt/nodejs/node_modules:/opt/cloudjit/runtime/node_modules"},
		},
		"node's options": {
			scripted(function.KindNode, "nodejs20.x", "index.handler", map[string]string{"NODE_OPTIONS": "--max-old-space-size=64"}), "/home/u/versions/x/bin/program", []string{"/opt/cloudjit/runtime/bootstrap.js"},
			[]string{"NODE_OPTIONS=--max-old-space-size=64"},
		},
		"the published client": {
			scripted(function.KindPython, "python3.12", "app.handler", map[string]string{ClientVariable: ClientAWS}), "/home/u/versions/x/bin/program", []string{"-m", "awslambdaric", "app.handler"}, nil,
		},
		"a wrapper": {
			scripted(function.KindPython, "python3.12", "app.handler", map[string]string{WrapperVariable: "/var/task/wrap"}), "/var/task/wrap",
			[]string{"/home/u/versions/x/bin/program", "/opt/cloudjit/runtime/bootstrap.py"}, nil,
		},
	} {
		spec, err := Worker(c.r)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if spec.Path != c.path || !slices.Equal(spec.Args, c.args) || spec.Dir != TaskDir {
			t.Errorf("%s: got %s %q in %s", name, spec.Path, spec.Args, spec.Dir)
		}
		for _, kv := range c.env {
			if !slices.Contains(spec.Env, kv) {
				t.Errorf("%s: the environment lacks %s: %q", name, kv, spec.Env)
			}
		}
		if home := (worker.Mount{Source: "/home/u/versions/x", Target: "/home/u/versions/x"}); !slices.Contains(spec.Mounts, home) {
			t.Errorf("%s: it does not see its interpreter: %v", name, spec.Mounts)
		}
	}
}

// TestSavedInterpreters: a worker that is saved is told so, by a command that those have too that are restored from it.
func TestSavedInterpreters(t *testing.T) {
	for _, kind := range []function.Kind{function.KindPython, function.KindNode} {
		l := ladder.Of(kind)
		id, ok := l.Find(ladder.Snapshot)
		if !ok {
			t.Fatalf("%s has no snapshots", kind)
		}
		r := scripted(kind, "x", "a.b", nil)
		r.Rung, r.Save = l.Rungs[id], true
		saved, err := Worker(r)
		if err != nil || !saved.Savable || !saved.Announce {
			t.Fatalf("%s: got %+v, %v", kind, saved, err)
		}
		r.Save, r.Paths.Artifact = false, "/snapshot"
		restored, err := Worker(r)
		if err != nil || restored.Restore != "/snapshot" || !restored.Announce || !slices.Equal(restored.Args, saved.Args) || !slices.Equal(restored.Env, saved.Env) {
			t.Errorf("%s: got %+v, %v", kind, restored, err)
		}
		r.Save, r.Revision.Environment = true, map[string]string{ClientVariable: ClientAWS}
		if _, err := Worker(r); err == nil || !strings.Contains(err.Error(), "runtime client") {
			t.Errorf("%s with the published client: got %v", kind, err)
		}
	}
}
