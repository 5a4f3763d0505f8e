package nativeimage

import (
	"archive/zip"
	"bytes"
	"fmt"
	"path/filepath"
	"strings"
)

// targetClass marks a class that changes another one when an image is built.
var targetClass = []byte("Lcom/oracle/svm/core/annotate/TargetClass;")

// quarkusOptions make the log manager in the image the one that a Quarkus application names when
// it starts: native-image makes the log manager at build time, so the application's own call
// comes too late, JBoss Logging falls back to other providers, and looks up classes that no
// tracer saw on HotSpot. What the log manager is made of is initialized with it; nothing else is.
var quarkusOptions = []string{
	"-J-Djava.util.logging.manager=org.jboss.logmanager.LogManager",
	"-J-Dlogging.initial-configurator.min-level=500", // as the application's main class sets it
	"--initialize-at-build-time=org.jboss.logmanager,io.quarkus.bootstrap.logging,io.quarkus.bootstrap.graal," +
		"io.quarkus.vertx.mdc.provider," + // found as a service by the log manager
		"io.smallrye.common.constraint,io.smallrye.common.expression,io.smallrye.common.ref",
}

// quarkusMetadata are the files that SmallRye Config looks for beside those it finds, by profile. On
// HotSpot it looks into the archive, which no tracer sees; in an image these are resources, and
// that one is not there must be known too.
const quarkusMetadata = `{"resources": [
  {"glob": "application*.properties"},
  {"glob": "application*.yaml"},
  {"glob": "application*.yml"},
  {"glob": "META-INF/microprofile-config*.properties"}
]}`

// loggingSubstitutions hold for a log manager that is made at build time: they give it its
// delayed handler anew and leave out its reading of files.
var loggingSubstitutions = map[string]bool{
	"io/quarkus/runtime/graal/Target_io_quarkus_bootstrap_logging_InitialConfigurator.class": true,
	"io/quarkus/runtime/graal/Target_java_util_logging_Logger.class":                         true,
	"io/quarkus/runtime/graal/Target_org_jboss_logmanager_LogManager.class":                  true,
	"io/quarkus/runtime/graal/Target_org_jboss_logmanager_LoggerNode.class":                  true,
}

// quarkus makes an ordinary application of one that Quarkus packaged for HotSpot.
//
// Quarkus' own native build initializes all classes at build time but for lists that its
// extensions give, and its substitutions hold only with these: fields without a setter, TLS and
// AWT that throw unless an extension switches them on. The lists stay in the deployment
// artifacts, which no packaged application has. So the substitutions are left out, and
// everything but the log manager is initialized at run time, as on HotSpot, where the tracer saw it.
//
// It returns the class path with copies in the place of archives that had substitutions.
func (j *job) quarkus(app []string) ([]string, error) {
	out := make([]string, len(app))
	for i, path := range app {
		out[i] = path
		if filepath.Ext(path) != ".jar" {
			continue
		}
		to := filepath.Join(j.scratch.Dir, fmt.Sprintf("quarkus-%d.jar", i))
		left, err := withoutSubstitutions(path, to)
		if err != nil {
			return nil, fmt.Errorf("prepare Quarkus application: %w", err)
		}
		if left > 0 {
			fmt.Fprintf(j.log, "cloudjit: %d of Quarkus' substitutions are left out of %s\n", left, filepath.Base(path))
			out[i] = to
		}
	}
	return out, nil
}

// withoutSubstitutions copies an archive but for Quarkus' substitutions and returns how many it
// had; without any there is no copy.
func withoutSubstitutions(from, to string) (int, error) {
	r, err := zip.OpenReader(from)
	if err != nil {
		return 0, err
	}
	defer r.Close()
	drop := map[string]bool{}
	for _, f := range r.File {
		// Other libraries' substitutions (Netty's, SmallRye's) are made for any image.
		if !strings.HasPrefix(f.Name, "io/quarkus/") || !strings.HasSuffix(f.Name, ".class") || loggingSubstitutions[f.Name] {
			continue
		}
		content, err := readEntry(f)
		if err != nil {
			return 0, err
		}
		if bytes.Contains(content, targetClass) {
			drop[f.Name] = true
		}
	}
	if len(drop) == 0 {
		return 0, nil
	}
	return len(drop), copyArchive(from, to, func(name string) bool { return drop[name] })
}
