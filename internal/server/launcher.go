package server

import (
	"context"
	"time"

	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/launch"
	"github.com/cloudjit/cloudjit/internal/node"
	"github.com/cloudjit/cloudjit/internal/store"
	"github.com/cloudjit/cloudjit/internal/worker"
)

// launcher says how the workers of this machine are started: it implements node.Launcher.
type launcher struct {
	code          *code
	jdks          []launch.JDK
	runtime       string // JARs
	serialization string
	tracer        string
	image         string
	platform      launch.Platform
}

func (l *launcher) Launch(ctx context.Context, n node.Launch) (worker.Spec, error) {
	u, err := l.code.open(ctx, n.Revision.CodeSHA256)
	if err != nil {
		return worker.Spec{}, err
	}
	paths := launch.Paths{
		Code: u.dir, ClassPath: u.info.Paths, MainClass: u.info.MainClass, ModuleOptions: u.info.ModuleOptions(),
		Runtime: l.runtime, Serialization: l.serialization, Tracer: l.tracer,
		Trace: n.Trace, Native: n.Native,
	}
	if n.Tier == function.TierHotSpot || n.Tier == function.TierHotSpotAgent {
		if paths.JDK, err = launch.SelectJDK(l.jdks, u.info.JavaVersion); err != nil {
			return worker.Spec{}, err
		}
		if paths.JDK.Agent {
			paths.Tracer = ""
		}
	}
	return launch.Worker(launch.Request{
		ID: n.ID, Revision: n.Revision, Tier: n.Tier, Paths: paths, Platform: l.platform,
		Survey: n.Survey, Now: time.Now(), Limits: n.Limits,
	})
}

// prepare fails for a revision that can never run here.
func (l *launcher) prepare(ctx context.Context, rev *store.Revision) error {
	u, err := l.code.open(ctx, rev.Spec.CodeSHA256)
	if err != nil {
		return err
	}
	if rev.Spec.Kind == function.KindProvided {
		return nil
	}
	_, err = launch.SelectJDK(l.jdks, u.info.JavaVersion)
	return err
}
