package launch_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/launch"
	"github.com/cloudjit/cloudjit/internal/worker"
)

func request(kind function.Kind, tier function.Tier) launch.Request {
	return launch.Request{
		ID: "01WORKER",
		Revision: &function.Spec{
			ID: "01REV", Function: "orders", Version: "$LATEST", Kind: kind, Runtime: "java21",
			Handler: "shop.Orders::handle", MemoryMiB: 512, TmpMiB: 512,
			Environment: map[string]string{"STAGE": "test"},
		},
		Tier: tier,
		Paths: launch.Paths{
			Code: "/data/code/1", ClassPath: []string{"orders.jar", "lib/a.jar", "."}, MainClass: "shop.Web",
			ModuleOptions: []string{"--add-opens=java.base/java.lang=ALL-UNNAMED"},
			JDK:           launch.JDK{Home: "/usr/lib/jvm/jdk-25", Version: 25, Links: []string{"/etc/java-25"}},
			Runtime:       "/cache/r/runtime.jar", Serialization: "/cache/s/serialization.jar", Tracer: "/cache/t/tracer.jar",
			Trace: "/data/traces/w", Native: "/data/native/k",
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

func TestCommandOfEveryKindAndTier(t *testing.T) {
	const jvm = "-Xmx384m -XX:+UseSerialGC -XX:-UsePerfData -Dstdout.encoding=UTF-8 -Dstderr.encoding=UTF-8"
	const agent = " -javaagent:/opt/cloudjit/tracer/tracer.jar=out=/opt/cloudjit/trace,interval=1000"
	const handler = " -XX:TieredStopAtLevel=1 -Djava.net.preferIPv4Stack=true -Dsun.net.inetaddr.negative.ttl=1" +
		" -cp /opt/cloudjit/runtime/runtime.jar:/var/task/orders.jar:/var/task/lib/a.jar:/var/task:/opt/cloudjit/serialization/serialization.jar" +
		" dev.cloudjit.runtime.Main"
	const web = " --add-opens=java.base/java.lang=ALL-UNNAMED -cp /var/task/orders.jar:/var/task/lib/a.jar:/var/task shop.Web"
	const native = "/opt/cloudjit/native/function -XX:MissingRegistrationReportingMode=Exit -Djava.home=/opt/cloudjit/native -Xmx448m -Xmn8m"
	tests := []struct {
		kind   function.Kind
		tier   function.Tier
		want   string
		mounts string
	}{
		{function.KindHandler, function.TierHotSpot, "/opt/java/bin/java " + jvm + handler, "/var/task /opt/java /etc/java-25 /opt/cloudjit/runtime /opt/cloudjit/serialization"},
		{function.KindHandler, function.TierHotSpotAgent, "/opt/java/bin/java " + jvm + agent + handler, "/var/task /opt/java /etc/java-25 /opt/cloudjit/trace(w) /opt/cloudjit/tracer /opt/cloudjit/runtime /opt/cloudjit/serialization"},
		{function.KindHandler, function.TierNative, native, "/var/task /opt/cloudjit/native"},
		{function.KindWeb, function.TierHotSpot, "/opt/java/bin/java " + jvm + web, "/var/task /opt/java /etc/java-25"},
		{function.KindWeb, function.TierHotSpotAgent, "/opt/java/bin/java " + jvm + agent + web, "/var/task /opt/java /etc/java-25 /opt/cloudjit/trace(w) /opt/cloudjit/tracer"},
		{function.KindWeb, function.TierNative, native, "/var/task /opt/cloudjit/native"},
		{function.KindProvided, function.TierDirect, "/var/task/bootstrap", "/var/task"},
	}
	for _, test := range tests {
		t.Run(test.kind.String()+"/"+test.tier.String(), func(t *testing.T) {
			spec := start(t, request(test.kind, test.tier))
			if diff := cmp.Diff(test.want, strings.Join(append([]string{spec.Path}, spec.Args...), " ")); diff != "" {
				t.Errorf("command (-want +got):\n%s", diff)
			}
			var mounts []string
			for _, m := range spec.Mounts {
				if m.Writable {
					m.Target += "(w)"
				}
				mounts = append(mounts, m.Target)
			}
			if diff := cmp.Diff(test.mounts, strings.Join(mounts, " ")); diff != "" {
				t.Errorf("mounts (-want +got):\n%s", diff)
			}
			if wantTrace := test.tier == function.TierHotSpotAgent; wantTrace != (spec.TraceDir != "") {
				t.Errorf("trace folder %q in tier %s", spec.TraceDir, test.tier)
			}
		})
	}
}

func TestSurveyGoesOnWhereMetadataLacks(t *testing.T) {
	r := request(function.KindHandler, function.TierNative)
	r.Survey = true
	if got := start(t, r).Args[0]; got != "-XX:MissingRegistrationReportingMode=Warn" {
		t.Errorf("got %s", got)
	}
}

func TestEnvironmentIsLambdas(t *testing.T) {
	got := start(t, request(function.KindHandler, function.TierHotSpot)).Env
	want := []string{
		"AWS_DEFAULT_REGION=us-east-1", "AWS_EXECUTION_ENV=AWS_Lambda_java21", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE=512",
		"AWS_LAMBDA_FUNCTION_NAME=orders", "AWS_LAMBDA_FUNCTION_VERSION=$LATEST", "AWS_LAMBDA_INITIALIZATION_TYPE=on-demand",
		"AWS_LAMBDA_LOG_GROUP_NAME=/aws/lambda/orders", "AWS_LAMBDA_LOG_STREAM_NAME=2026/05/05/[$LATEST]01WORKER",
		"AWS_REGION=us-east-1", "HOME=/tmp", "JAVA_HOME=/opt/java", "LAMBDA_RUNTIME_DIR=/opt/cloudjit/runtime",
		"LAMBDA_TASK_ROOT=/var/task", "LANG=C.UTF-8", "PATH=/usr/local/bin:/usr/bin:/bin:/opt/bin", "STAGE=test", "TZ=:UTC",
		"_HANDLER=shop.Orders::handle",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("environment (-want +got):\n%s", diff)
	}
}

func TestUserOptionsWinOverDefaults(t *testing.T) {
	r := request(function.KindHandler, function.TierHotSpot)
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
	change := func(kind function.Kind, tier function.Tier, f func(*launch.Request)) launch.Request {
		r := request(kind, tier)
		f(&r)
		return r
	}
	tests := map[string]launch.Request{
		"no JDK":          change(function.KindHandler, function.TierHotSpot, func(r *launch.Request) { r.Paths.JDK = launch.JDK{} }),
		"no handler":      change(function.KindHandler, function.TierHotSpot, func(r *launch.Request) { r.Revision.Handler = "" }),
		"no main class":   change(function.KindWeb, function.TierHotSpot, func(r *launch.Request) { r.Paths.MainClass = "" }),
		"no binary":       change(function.KindWeb, function.TierNative, func(r *launch.Request) { r.Paths.Native = "" }),
		"no trace folder": change(function.KindWeb, function.TierHotSpotAgent, func(r *launch.Request) { r.Paths.Trace = "" }),
		"no tracer":       change(function.KindWeb, function.TierHotSpotAgent, func(r *launch.Request) { r.Paths.Tracer = "" }),
		"java directly":   request(function.KindHandler, function.TierDirect),
		"provided in JVM": request(function.KindProvided, function.TierHotSpot),
		"unknown tier":    request(function.KindHandler, function.TierUnknown),
		"reserved key": change(function.KindWeb, function.TierHotSpot, func(r *launch.Request) {
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
	r := request(function.KindWeb, function.TierHotSpotAgent)
	r.Paths.Tracer, r.Paths.JDK.Agent = "", true
	if args := start(t, r).Args; !slices.ContainsFunc(args, func(a string) bool { return strings.HasPrefix(a, "-agentlib:native-image-agent=") }) {
		t.Errorf("no native-image-agent in %q", args)
	}
}

func TestHeapLeavesRoomAtEveryLimit(t *testing.T) {
	for memory := 128; memory <= 10240; memory++ {
		for _, tier := range []function.Tier{function.TierHotSpot, function.TierNative} {
			r := request(function.KindHandler, tier)
			r.Revision.MemoryMiB = memory
			i := slices.IndexFunc(start(t, r).Args, func(a string) bool { return strings.HasPrefix(a, "-Xmx") })
			heap := 0
			for _, c := range strings.TrimSuffix(strings.TrimPrefix(start(t, r).Args[i], "-Xmx"), "m") {
				heap = heap*10 + int(c-'0')
			}
			if heap < memory/2 || heap > memory-24 {
				t.Fatalf("%s with %d MiB: heap of %d MiB", tier, memory, heap)
			}
		}
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
