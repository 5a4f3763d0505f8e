package launch_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/ladder"
	"github.com/cloudjit/cloudjit/internal/launch"
	"github.com/cloudjit/cloudjit/internal/worker"
)

// A rung is asked for its artifact only: these names are nowhere in the package.
var (
	plain  = ladder.Rung{Name: "some-jvm"}
	cached = ladder.Rung{Name: "some-cache", Artifact: ladder.ArtifactCache}
	binary = ladder.Rung{Name: "some-binary", Artifact: ladder.ArtifactBinary}
	saved  = ladder.Rung{Name: "some-snapshot", Artifact: ladder.ArtifactSnapshot}
	early  = ladder.Rung{Name: "some-early-snapshot", Artifact: ladder.ArtifactSnapshot, Early: true}
)

func request(kind function.Kind, rung ladder.Rung) launch.Request {
	return launch.Request{
		ID: "01WORKER",
		Revision: &function.Spec{
			ID: "01REV", Function: "orders", Version: "$LATEST", Kind: kind, Runtime: "java21",
			Handler: "shop.Orders::handle", MemoryMiB: 512, TmpMiB: 512,
			Environment: map[string]string{"STAGE": "test"},
		},
		Rung: rung,
		Paths: launch.Paths{
			Code: "/data/code/1", ClassPath: []string{"orders.jar", "lib/a.jar", "."}, MainClass: "shop.Web",
			ModuleOptions: []string{"--add-opens=java.base/java.lang=ALL-UNNAMED"},
			JDK:           launch.JDK{Home: "/usr/lib/jvm/jdk-25", Version: 25, Links: []string{"/etc/java-25"}},
			Classes:       "/data/code/1/classes.jar",
			Runtime:       "/cache/r/runtime.jar", Serialization: "/cache/s/serialization.jar", Tracer: "/cache/t/tracer.jar",
			Record: "/data/records/w", Artifact: "/data/artifacts/k",
		},
		Now: time.Date(2026, 5, 4, 23, 0, 0, 0, time.FixedZone("", -3600)),
	}
}

func start(t *testing.T, r launch.Request) worker.Spec {
	t.Helper()
	spec, err := launch.Worker(r)
	if err != nil {
		t.Fatal(err)
	}
	return spec
}

func TestCommandOfEveryKindAndRung(t *testing.T) {
	const (
		jvm     = "/opt/java/bin/java -Xmx384m -XX:+UseSerialGC -XX:-UsePerfData -Dstdout.encoding=UTF-8 -Dstderr.encoding=UTF-8"
		agent   = " -javaagent:/opt/cloudjit/tracer/tracer.jar=out=/opt/cloudjit/record,interval=1000"
		quiet   = " -Xlog:aot*=off,cds*=off"
		list    = " -XX:DumpLoadedClassList=/opt/cloudjit/record/app.classlist"
		record  = quiet + list
		archive = " -XX:+UnlockDiagnosticVMOptions -XX:ArchiveRelocationMode=0 -XX:SharedArchiveFile=/opt/cloudjit/cache/app.jsa -Xshare:"
		use     = quiet + archive + "auto"
		loud    = " -Xlog:disable -Xlog:all=warning:stderr"
		saves   = " -javaagent:/opt/cloudjit/runtime/runtime.jar=/opt/cloudjit/runtime/runtime.jar"
		small   = " --sun-misc-unsafe-memory-access=allow -Xms8m -XX:-ShrinkHeapInSteps"
		handler = " -XX:TieredStopAtLevel=1" + peak
		web     = " --add-opens=java.base/java.lang=ALL-UNNAMED -cp /var/task/orders.jar:/var/task/lib/a.jar:/opt/cloudjit/classes/classes.jar shop.Web"
		native  = "/opt/cloudjit/native/function -XX:MissingRegistrationReportingMode=Exit -Xmx448m -Xmn8m -Dstdout.encoding=UTF-8 -Dstderr.encoding=UTF-8 -Djava.library.path=/var/lang/lib:/lib64:/usr/lib64:/opt/cloudjit/runtime:/opt/cloudjit/runtime/lib:/var/task:/var/task/lib:/opt/lib:/usr/java/packages/lib:/usr/lib64:/lib64:/lib:/usr/lib"
		home    = " -Djava.home=/opt/cloudjit/native -Djava.class.path="
		same    = " -Djdk.debug=release -Dsun.java.launcher=SUN_STANDARD -Dsun.java.command="
		names   = "/var/task/orders.jar:/var/task/lib/a.jar:/opt/cloudjit/classes/classes.jar"

		java    = " /opt/java /etc/java-25"
		runtime = " /opt/cloudjit/runtime /opt/cloudjit/classes /opt/cloudjit/serialization"
		classes = " /opt/cloudjit/classes"
	)
	older := func(r *launch.Request) { r.Paths.JDK.Version = 21 }
	check := func(r *launch.Request) { r.Check = true }
	tests := map[string]struct {
		kind      function.Kind
		rung      ladder.Rung
		recording ladder.Recording
		change    func(*launch.Request)
		want      string
		mounts    string
	}{
		"handler":                  {function.KindHandler, plain, 0, nil, jvm + handler, "/var/task" + java + runtime},
		"computing handler":        {function.KindHandler, plain, 0, func(r *launch.Request) { r.Rung.Options = ladder.OptionsC2 }, jvm + peak, "/var/task" + java + runtime},
		"traced handler":           {function.KindHandler, plain, ladder.RecordingMetadata, nil, jvm + agent + handler, "/var/task /opt/cloudjit/tracer" + java + runtime + " /opt/cloudjit/record(w)"},
		"recorded handler":         {function.KindHandler, plain, ladder.RecordingClasses, nil, jvm + record + handler, "/var/task" + java + runtime + " /opt/cloudjit/record(w)"},
		"handler of older Java":    {function.KindHandler, plain, ladder.RecordingClasses, older, jvm + " -Xlog:cds*=off" + list + handler, "/var/task" + java + runtime + " /opt/cloudjit/record(w)"},
		"cached handler":           {function.KindHandler, cached, 0, nil, jvm + use + handler, "/var/task /opt/cloudjit/cache" + java + runtime},
		"its check":                {function.KindHandler, cached, 0, check, jvm + loud + archive + "on" + handler, "/var/task /opt/cloudjit/cache" + java + runtime},
		"archived handler":         {function.KindHandler, cached, 0, older, jvm + " -Xlog:cds*=off" + archive + "auto" + handler, "/var/task /opt/cloudjit/cache" + java + runtime},
		"the check of an archive":  {function.KindHandler, cached, 0, func(r *launch.Request) { older(r); check(r) }, jvm + loud + archive + "on" + handler, "/var/task /opt/cloudjit/cache" + java + runtime},
		"traced on a cache's rung": {function.KindHandler, cached, ladder.RecordingMetadata, nil, jvm + agent + handler, "/var/task /opt/cloudjit/tracer" + java + runtime + " /opt/cloudjit/record(w)"},
		"saved handler":            {function.KindHandler, saved, 0, nil, jvm + saves + small + handler, "/var/task" + java + runtime},
		"saved early":              {function.KindHandler, early, 0, nil, jvm + saves + ",early" + small + handler, "/var/task" + java + runtime},
		"handler's binary":         {function.KindHandler, binary, 0, nil, native + " -Djava.net.preferIPv4Stack=true" + home + "/opt/cloudjit/runtime/runtime.jar:" + names + ":/opt/cloudjit/serialization/serialization.jar" + same + "dev.cloudjit.runtime.Main", "/var/task /opt/cloudjit/native"},
		"web":                      {function.KindWeb, plain, 0, nil, jvm + web, "/var/task" + java + classes},
		"traced web":               {function.KindWeb, plain, ladder.RecordingMetadata, nil, jvm + agent + web, "/var/task /opt/cloudjit/tracer" + java + classes + " /opt/cloudjit/record(w)"},
		"recorded web":             {function.KindWeb, plain, ladder.RecordingClasses, nil, jvm + record + web, "/var/task" + java + classes + " /opt/cloudjit/record(w)"},
		"cached web":               {function.KindWeb, cached, 0, nil, jvm + use + web, "/var/task /opt/cloudjit/cache" + java + classes},
		"saved web":                {function.KindWeb, early, 0, nil, jvm + saves + ",early" + small + web, "/var/task /opt/cloudjit/runtime" + java + classes},
		"web's binary":             {function.KindWeb, binary, 0, nil, native + home + names + same + "shop.Web", "/var/task /opt/cloudjit/native"},
		"one with a profile": {function.KindWeb, binary, 0, func(r *launch.Request) { r.Rung.Options = ladder.OptionsProfiled },
			strings.Replace(native, "-Xmn8m", "-Xms72m -Xmn56m", 1) + home + names + same + "shop.Web", "/var/task /opt/cloudjit/native"},
		"provided": {function.KindProvided, plain, 0, nil, "/var/task/bootstrap", "/var/task"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			r := request(test.kind, test.rung)
			r.Recording = test.recording
			if test.change != nil {
				test.change(&r)
			}
			spec := start(t, r)
			if diff := cmp.Diff(test.want, strings.Join(append([]string{spec.Path}, spec.Args...), " ")); diff != "" {
				t.Errorf("command (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(test.mounts, targets(spec)); diff != "" {
				t.Errorf("mounts (-want +got):\n%s", diff)
			}
			if records := test.recording != ladder.RecordingNone; records != (spec.RecordDir != "") {
				t.Errorf("folder for the recording %q", spec.RecordDir)
			}
		})
	}
}

const peak = " -Djava.net.preferIPv4Stack=true -Dsun.net.inetaddr.negative.ttl=1" +
	" -cp /opt/cloudjit/runtime/runtime.jar:/var/task/orders.jar:/var/task/lib/a.jar:/opt/cloudjit/classes/classes.jar:/opt/cloudjit/serialization/serialization.jar" +
	" dev.cloudjit.runtime.Main"

// targets are the places of all mounts.
func targets(spec worker.Spec) string {
	var mounts []string
	for _, m := range spec.Mounts {
		mounts = append(mounts, m.Target)
	}
	for _, f := range spec.Folders {
		mounts = append(mounts, f.Target+"(w)")
	}
	return strings.Join(mounts, " ")
}

// TestAssembleIsTheWorkerWithoutMain: a cache is refused where anything differs.
func TestAssembleIsTheWorkerWithoutMain(t *testing.T) {
	for _, kind := range []function.Kind{function.KindHandler, function.KindWeb} {
		r := request(kind, cached)
		r.Paths.Artifact = "/scratch/out"
		spec, err := launch.Assemble(r, "/scratch/in/app.classlist")
		if err != nil {
			t.Fatal(err)
		}
		use := start(t, r)
		want := strings.Join(use.Args[:len(use.Args)-1], " ")
		want = strings.Replace(want, "-XX:+UnlockDiagnosticVMOptions -XX:ArchiveRelocationMode=0 -XX:SharedArchiveFile=/opt/cloudjit/cache/app.jsa -Xshare:auto",
			"-XX:+AOTClassLinking -Xshare:dump -XX:SharedClassListFile=/opt/cloudjit/record/app.classlist -XX:SharedArchiveFile=/opt/cloudjit/cache/app.jsa", 1)
		if kind == function.KindWeb {
			want = strings.Replace(want, "-XX:+AOTClassLinking", "-Xmixed -XX:TieredStopAtLevel=1 -XX:+UnlockExperimentalVMOptions -XX:SymbolTableSize=1048576 -XX:+AOTClassLinking", 1)
		}
		if diff := cmp.Diff(want, strings.Join(spec.Args, " ")); diff != "" {
			t.Errorf("%s: command (-want +got):\n%s", kind, diff)
		}
		if diff := cmp.Diff(use.Env, spec.Env); diff != "" {
			t.Errorf("%s: environment (-want +got):\n%s", kind, diff)
		}
		if got := targets(spec); !strings.HasPrefix(got, "/var/task /opt/cloudjit/record /opt/java") || !strings.HasSuffix(got, " /opt/cloudjit/cache(w)") {
			t.Errorf("%s: mounts %s", kind, got)
		}
	}
}

func TestUnsuitedForACache(t *testing.T) {
	tests := map[string]func(*launch.Request){
		"agent": func(r *launch.Request) {
			r.Revision.Environment["JAVA_TOOL_OPTIONS"] = "-Xss1m -javaagent:/var/task/otel.jar"
		},
		"debugger":    func(r *launch.Request) { r.Revision.Environment["JDK_JAVA_OPTIONS"] = "-agentlib:jdwp=server=y" },
		"own archive": func(r *launch.Request) { r.Revision.Environment["JAVA_TOOL_OPTIONS"] = "-Xshare:off" },
		"folder":      func(r *launch.Request) { r.Paths.Classes = "" },
	}
	for name, change := range tests {
		r := request(function.KindHandler, plain)
		change(&r)
		start(t, r)
		r.Recording = ladder.RecordingClasses
		if _, err := launch.Worker(r); !errors.Is(err, launch.ErrUnsuited) {
			t.Errorf("%s: got %v, want ErrUnsuited", name, err)
		}
	}
}

func TestRecordingFile(t *testing.T) {
	const record = ladder.RecordingClasses
	tests := map[string]struct {
		prepare func(dir string) error
		want    string
	}{
		"nothing": {func(string) error { return nil }, ""},
		"list":    {func(dir string) error { return os.WriteFile(dir+"/app.classlist", []byte("x"), 0o644) }, "app.classlist"},
		"empty":   {func(dir string) error { return os.WriteFile(dir+"/app.classlist", nil, 0o644) }, ""},
		"link":    {func(dir string) error { return os.Symlink("/etc/passwd", dir+"/app.classlist") }, ""},
		"folder":  {func(dir string) error { return os.Mkdir(dir+"/app.classlist", 0o755) }, ""},
		"pipe":    {func(dir string) error { return syscall.Mkfifo(dir+"/app.classlist", 0o644) }, ""},
		"giant": {func(dir string) error {
			return errors.Join(os.WriteFile(dir+"/app.classlist", nil, 0o644), os.Truncate(dir+"/app.classlist", 64<<20+1))
		}, ""},
	}
	for name, test := range tests {
		dir := t.TempDir()
		if err := test.prepare(dir); err != nil {
			t.Fatal(err)
		}
		file, ok := launch.RecordingFile(record, dir)
		if ok != (test.want != "") || ok && file != dir+"/"+test.want {
			t.Errorf("%s: got %q, %v, want %q", name, file, ok, test.want)
		}
		if file, ok := launch.RecordingFile(ladder.RecordingMetadata, dir); ok {
			t.Errorf("%s: got %q of metadata", name, file)
		}
	}
}

// TestProfile: an instrumented binary writes its profile where it is kept; one that is only checked writes none, and others are
// not told of any.
func TestProfile(t *testing.T) {
	instrumented := binary
	instrumented.Recorder = ladder.RecordingProfile
	r := request(function.KindHandler, instrumented)
	r.Recording, r.Paths.Record, r.Limits.MemoryMiB = ladder.RecordingProfile, t.TempDir(), 2048
	spec := start(t, r)
	want := []worker.Folder{{Target: spec.RecordDir, MiB: 96, Keep: r.Paths.Record, Names: []string{"app.iprof"}}}
	if !slices.Contains(spec.Args, "-XX:ProfilesDumpFile="+spec.RecordDir+"/app.iprof") || !cmp.Equal(spec.Folders, want) {
		t.Errorf("got %q, %+v", spec.Args, spec.Folders)
	}
	if !slices.Contains(spec.Args, "-Xmx448m") {
		t.Errorf("its heap grows with what it writes: %q", spec.Args)
	}
	r.Recording = ladder.RecordingNone
	if spec := start(t, r); !slices.Contains(spec.Args, "-XX:ProfilesDumpFile=/dev/null") || len(spec.Folders) != 0 {
		t.Errorf("checked as %q, %+v", spec.Args, spec.Folders)
	}
	if spec := start(t, request(function.KindHandler, binary)); strings.Contains(strings.Join(spec.Args, " "), "Profiles") {
		t.Errorf("another binary as %q", spec.Args)
	}
	for _, x := range []ladder.Recording{ladder.RecordingMetadata, ladder.RecordingClasses} {
		r.Recording = x
		if _, err := launch.Worker(r); err == nil {
			t.Errorf("a binary records %s", x)
		}
	}
	if err := os.WriteFile(filepath.Join(r.Paths.Record, "app.iprof"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if file, ok := launch.RecordingFile(ladder.RecordingProfile, r.Paths.Record); !ok || filepath.Base(file) != "app.iprof" {
		t.Errorf("found %q, %t", file, ok)
	}
}

// TestCompilerLog: a JVM that records a profile has both compilers, also for a handler, and writes what they did where it is kept.
func TestCompilerLog(t *testing.T) {
	r := request(function.KindHandler, ladder.Rung{Name: ladder.HotSpot})
	r.Recording, r.Paths.Record = ladder.RecordingProfile, t.TempDir()
	spec := start(t, r)
	want := []worker.Folder{{Target: spec.RecordDir, MiB: 192, Keep: r.Paths.Record, Names: []string{"app.jit.log"}}}
	if !slices.Contains(spec.Args, "-XX:LogFile="+spec.RecordDir+"/app.jit.log") || !slices.Contains(spec.Args, "-XX:+LogCompilation") || !cmp.Equal(spec.Folders, want) {
		t.Errorf("got %q, %+v", spec.Args, spec.Folders)
	}
	if slices.Contains(spec.Args, "-XX:TieredStopAtLevel=1") {
		t.Errorf("it has one compiler: %q", spec.Args)
	}
	log := filepath.Join(r.Paths.Record, "app.jit.log")
	if err := os.WriteFile(log, []byte("<hotspot_log>"), 0o600); err != nil {
		t.Fatal(err)
	}
	if file, ok := launch.RecordingFile(ladder.RecordingProfile, r.Paths.Record); !ok || file != log || !launch.CompilerLog(file) {
		t.Errorf("found %q, %t", file, ok)
	}
	// The function can put anything there.
	if err := errors.Join(os.Remove(log), os.Symlink("/etc/passwd", log)); err != nil {
		t.Fatal(err)
	}
	if file, ok := launch.RecordingFile(ladder.RecordingProfile, r.Paths.Record); ok {
		t.Errorf("found %q", file)
	}
}

func TestSurveyGoesOnWhereMetadataLacks(t *testing.T) {
	r := request(function.KindHandler, binary)
	r.Survey = true
	if got := start(t, r).Args[0]; got != "-XX:MissingRegistrationReportingMode=Warn" {
		t.Errorf("got %s", got)
	}
}

// TestEnvironmentIsLambdas: the documented one, on every rung the same.
func TestEnvironmentIsLambdas(t *testing.T) {
	want := []string{
		"AWS_DEFAULT_REGION=us-east-1", "AWS_EXECUTION_ENV=AWS_Lambda_java21", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE=512",
		"AWS_LAMBDA_FUNCTION_NAME=orders", "AWS_LAMBDA_FUNCTION_VERSION=$LATEST", "AWS_LAMBDA_INITIALIZATION_TYPE=on-demand",
		"AWS_LAMBDA_LOG_GROUP_NAME=/aws/lambda/orders", "AWS_LAMBDA_LOG_STREAM_NAME=2026/05/05/[$LATEST]01WORKER",
		"AWS_REGION=us-east-1", "AWS_XRAY_CONTEXT_MISSING=LOG_ERROR", "AWS_XRAY_DAEMON_ADDRESS=169.254.79.129:2000", "HOME=/tmp",
		"LAMBDA_RUNTIME_DIR=/opt/cloudjit/runtime", "LAMBDA_TASK_ROOT=/var/task", "LANG=C.UTF-8",
		"LD_LIBRARY_PATH=/var/lang/lib:/lib64:/usr/lib64:/opt/cloudjit/runtime:/opt/cloudjit/runtime/lib:/var/task:/var/task/lib:/opt/lib", "PATH=/usr/local/bin:/usr/bin:/bin:/opt/bin", "STAGE=test", "TZ=:UTC",
		"_HANDLER=shop.Orders::handle",
	}
	for _, rung := range []ladder.Rung{plain, cached, binary} {
		if diff := cmp.Diff(want, start(t, request(function.KindHandler, rung)).Env); diff != "" {
			t.Errorf("environment on %s (-want +got):\n%s", rung.Name, diff)
		}
	}
}

// TestLoggingIsTold: what was said of the log, and nothing where nothing was; it wins over variables of the function's own.
func TestLoggingIsTold(t *testing.T) {
	for name, test := range map[string]struct {
		logging             function.Logging
		format, level, name string
	}{
		"nothing": {function.Logging{}, "own", "own", "/aws/lambda/orders"},
		"text":    {function.Logging{Format: function.LogText}, "Text", "own", "/aws/lambda/orders"},
		"JSON":    {function.Logging{Format: function.LogJSON, Group: "/mine"}, "JSON", "INFO", "/mine"},
		"level":   {function.Logging{Format: function.LogJSON, Level: "WARN"}, "JSON", "WARN", "/aws/lambda/orders"},
	} {
		r := request(function.KindHandler, plain)
		r.Revision.Environment = map[string]string{"AWS_LAMBDA_LOG_FORMAT": "own", "AWS_LAMBDA_LOG_LEVEL": "own"}
		r.Revision.Logging = test.logging
		env := start(t, r).Env
		for _, want := range []string{"AWS_LAMBDA_LOG_FORMAT=" + test.format, "AWS_LAMBDA_LOG_LEVEL=" + test.level, "AWS_LAMBDA_LOG_GROUP_NAME=" + test.name} {
			if !slices.Contains(env, want) {
				t.Errorf("%s: want %s in %q", name, want, env)
			}
		}
	}
}

func TestUserOptionsWinOverDefaults(t *testing.T) {
	r := request(function.KindHandler, plain)
	r.Revision.Environment = map[string]string{
		"JAVA_TOOL_OPTIONS": "-XX:+UseParallelGC -XX:MaxRAMPercentage=50 -XX:TieredStopAtLevel=4 -Dstdout.encoding=UTF-16",
	}
	got := strings.Join(start(t, r).Args, " ")
	for _, unwanted := range []string{"UseSerialGC", "-Xmx", "TieredStopAtLevel", "stdout"} {
		if strings.Contains(got, unwanted) {
			t.Errorf("the command line %q must not decide %s", got, unwanted)
		}
	}
	if !strings.Contains(got, "-XX:-UsePerfData") {
		t.Errorf("the command line %q lacks a default that the user left alone", got)
	}
}

func TestWorkerRefusesWhatCannotRun(t *testing.T) {
	change := func(kind function.Kind, rung ladder.Rung, f func(*launch.Request)) launch.Request {
		r := request(kind, rung)
		f(&r)
		return r
	}
	tests := map[string]launch.Request{
		"no JDK":               change(function.KindHandler, plain, func(r *launch.Request) { r.Paths.JDK = launch.JDK{} }),
		"no handler":           change(function.KindHandler, plain, func(r *launch.Request) { r.Revision.Handler = "" }),
		"no main class":        change(function.KindWeb, plain, func(r *launch.Request) { r.Paths.MainClass = "" }),
		"no binary":            change(function.KindWeb, binary, func(r *launch.Request) { r.Paths.Artifact = "" }),
		"no cache":             change(function.KindWeb, cached, func(r *launch.Request) { r.Paths.Artifact = "" }),
		"no trace folder":      change(function.KindWeb, plain, func(r *launch.Request) { r.Recording, r.Paths.Record = ladder.RecordingMetadata, "" }),
		"no tracer":            change(function.KindWeb, plain, func(r *launch.Request) { r.Recording, r.Paths.Tracer = ladder.RecordingMetadata, "" }),
		"no folder":            change(function.KindWeb, plain, func(r *launch.Request) { r.Recording, r.Paths.Record = ladder.RecordingClasses, "" }),
		"a recording binary":   change(function.KindWeb, binary, func(r *launch.Request) { r.Recording = ladder.RecordingMetadata }),
		"a recording provided": change(function.KindProvided, plain, func(r *launch.Request) { r.Recording = ladder.RecordingClasses }),
		"provided with cache":  request(function.KindProvided, cached),
		"unknown artifact":     request(function.KindHandler, ladder.Rung{Artifact: 99}),
		"unknown recording":    change(function.KindWeb, plain, func(r *launch.Request) { r.Recording = 99 }),
		"reserved key": change(function.KindWeb, plain, func(r *launch.Request) {
			r.Revision.Environment = map[string]string{"AWS_REGION": "x"}
		}),
	}
	for name, r := range tests {
		if spec, err := launch.Worker(r); err == nil {
			t.Errorf("%s: got %v, want an error", name, spec)
		}
	}
}

func TestJDKAgentServesWithoutTracer(t *testing.T) {
	r := request(function.KindWeb, plain)
	r.Recording = ladder.RecordingMetadata
	r.Paths.Tracer, r.Paths.JDK.Agent = "", true
	if args := start(t, r).Args; !slices.ContainsFunc(args, func(a string) bool { return strings.HasPrefix(a, "-agentlib:native-image-agent=") }) {
		t.Errorf("no native-image-agent in %q", args)
	}
}

func TestHeapLeavesRoomAtEveryLimit(t *testing.T) {
	for memory := 128; memory <= 10240; memory++ {
		for _, rung := range []ladder.Rung{plain, binary} {
			r := request(function.KindHandler, rung)
			r.Revision.MemoryMiB = memory
			i := slices.IndexFunc(start(t, r).Args, func(a string) bool { return strings.HasPrefix(a, "-Xmx") })
			heap := 0
			for _, c := range strings.TrimSuffix(strings.TrimPrefix(start(t, r).Args[i], "-Xmx"), "m") {
				heap = heap*10 + int(c-'0')
			}
			if heap < memory/2 || heap > memory-24 {
				t.Fatalf("%s with %d MiB: heap of %d MiB", rung.Name, memory, heap)
			}
		}
	}
}

func TestHeapDoesNotGrowWithWhatIsForTheRecording(t *testing.T) {
	r := request(function.KindHandler, plain)
	r.Recording, r.Limits.MemoryMiB = ladder.RecordingClasses, 512+128
	spec := start(t, r)
	if spec.Limits.MemoryMiB != 512+128 || !slices.Contains(spec.Args, "-Xmx384m") {
		t.Errorf("got %+v, %q", spec.Limits, spec.Args)
	}
}

func TestValidateEnvironment(t *testing.T) {
	tests := map[string]struct {
		env  map[string]string
		want string // part of the reason; empty: valid
	}{
		"empty":             {nil, ""},
		"ordinary":          {map[string]string{"DB_URL": "x", "a1": ""}, ""},
		"credentials":       {map[string]string{"AWS_ACCESS_KEY_ID": "x"}, ""},
		"reserved":          {map[string]string{"AWS_REGION": "x", "_HANDLER": "y"}, "AWS_REGION, _HANDLER"},
		"port":              {map[string]string{"PORT": "1"}, "PORT"},
		"digit first":       {map[string]string{"1A": "x"}, "begins with a letter"},
		"underscore first":  {map[string]string{"_AB": "x"}, "begins with a letter"},
		"one character":     {map[string]string{"A": "x"}, "two characters"},
		"equals in the key": {map[string]string{"AB=C": "x"}, "begins with a letter"},
		"zero byte":         {map[string]string{"AB": "x\x00y"}, "zero byte"},
		"too large":         {map[string]string{"AB": strings.Repeat("x", 4095)}, "4KB"},
		"just fits":         {map[string]string{"AB": strings.Repeat("x", 4094)}, ""},
	}
	for name, test := range tests {
		err := launch.ValidateEnvironment(test.env)
		var reason *launch.EnvironmentError
		switch {
		case test.want == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case test.want != "" && (!errors.As(err, &reason) || !strings.Contains(reason.Reason, test.want)):
			t.Errorf("%s: got %v, want %q in an EnvironmentError", name, err, test.want)
		}
	}
}

func TestSelectJDK(t *testing.T) {
	jdks := []launch.JDK{{Home: "/17", Version: 17}, {Home: "/25", Version: 25}, {Home: "/25b", Version: 25}, {Home: "/21", Version: 21}}
	if got, err := launch.SelectJDK(jdks, 21); err != nil || got.Home != "/25" {
		t.Errorf("got %v, %v: want the first of the newest", got, err)
	}
	if _, err := launch.SelectJDK(jdks, 26); err == nil || !strings.Contains(err.Error(), "26") {
		t.Errorf("got %v, want an error that names the release", err)
	}
	if _, err := launch.SelectJDK(nil, 0); !errors.Is(err, launch.ErrNoJava) {
		t.Errorf("got %v, want ErrNoJava", err)
	}
	if _, err := launch.SelectJDK([]launch.JDK{{Home: "/11", Version: 11}}, 8); err == nil {
		t.Error("Java 11 cannot run the runtime client")
	}
}

// TestBinaryHasTheUsersOptions: what a JVM has from JAVA_TOOL_OPTIONS a binary has too, but for what is HotSpot's own.
func TestBinaryHasTheUsersOptions(t *testing.T) {
	r := request(function.KindHandler, binary)
	r.Revision.Environment = map[string]string{
		"JAVA_TOOL_OPTIONS": `-Dmy.flag=on "-Dname=Ada Lovelace" -Duser.language=de -XX:+UseG1GC -Xmx300m -ea --add-opens=java.base/java.lang=ALL-UNNAMED -javaagent:x.jar -Xlog:gc -Djava.library.path=/opt/lib`,
	}
	args := start(t, r).Args
	for _, want := range []string{"-Dmy.flag=on", "-Dname=Ada Lovelace", "-Duser.language=de", "-Xmx300m", "-Djava.library.path=/opt/lib"} {
		if !slices.Contains(args, want) {
			t.Errorf("no %q in %q", want, args)
		}
	}
	for _, arg := range args {
		if !strings.HasPrefix(arg, "-D") && !strings.HasPrefix(arg, "-Xm") && !strings.HasPrefix(arg, "-XX:MissingRegistration") || arg == "-Xmx448m" || strings.Contains(arg, "/usr/java/packages") {
			t.Errorf("%q in %q", arg, args)
		}
	}
}

func TestToolOptions(t *testing.T) {
	for text, want := range map[string][]string{
		"":                     nil,
		"  \n ":                nil,
		"-Da=1  -Db=2\t-Dc":    {"-Da=1", "-Db=2", "-Dc"},
		`-Da="x y" '-Db=" z'`:  {"-Da=x y", `-Db=" z`},
		`-Da='x`:               {"-Da=x"},
		`"" -Da=`:              {"", "-Da="},
		"-Da=\\n -Db=ä\u00a0b": {`-Da=\n`, "-Db=ä\u00a0b"},
	} {
		if got := launch.ToolOptions(map[string]string{"JAVA_TOOL_OPTIONS": text}); !slices.Equal(got, want) {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}
