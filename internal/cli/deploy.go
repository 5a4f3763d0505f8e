package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/cloudjit/cloudjit/internal/client"
	"github.com/cloudjit/cloudjit/internal/compare"
	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/jar"
	"github.com/cloudjit/cloudjit/internal/store"
)

type deployCommand struct {
	Function    string            `arg:"" help:"Name of the function."`
	Archive     string            `arg:"" type:"path" help:"JAR; ZIP with lib/, with Python or JavaScript, or with a bootstrap; folder or file of Python or JavaScript."`
	Handler     string            `help:"package.Class, package.Class::method or module.function. Without it, CloudJIT takes the only candidate in the archive."`
	Web         bool              `help:"It is a web application that listens on $PORT, even if it also has handlers."`
	MainClass   string            `help:"Main class of a web application, if it is not the manifest's."`
	Runtime     string            `help:"Lambda runtime, for example java25, python3.13 or nodejs22.x. Without it, CloudJIT chooses one that fits the archive." placeholder:"NAME"`
	Memory      int               `help:"Memory of a worker in MiB (512 for Java, 256 for Python and JavaScript, 128 for provided)." placeholder:"MIB"`
	Timeout     time.Duration     `help:"How long an invocation may take (30s)." placeholder:"TIME"`
	Env         map[string]string `short:"e" help:"Environment variables, K=V;K=V." placeholder:"K=V"`
	Concurrency int               `help:"How many requests a worker of a web application handles at once (1)." placeholder:"N"`
	Driver      string            `help:"What its workers run in: process (a sandbox), qemu or firecracker (virtual machines). Without it: what the server has for all functions." placeholder:"NAME"`
	policyFlags
	Check   string `type:"path" help:"File of payloads (-: stdin), one JSON value on each line. Before an artifact serves, it must answer them as plain HotSpot does. For a web application, one object on each line: path, and optionally method, headers and body." placeholder:"FILE"`
	Publish bool   `help:"Publish a version."`
	URL     bool   `name:"url" help:"Give it a function URL (web applications always get one)."`
}

// javaRuntimes are Lambda's names of Java releases; a function runs on the newest JDK anyway.
var javaRuntimes = []int{8, 11, 17, 21, 25}

func (cmd *deployCommand) Run(c *Context) error {
	src, err := readSource(cmd.Archive)
	if err != nil {
		return err
	}
	info := &jar.Info{Layout: jar.LayoutFiles}
	if src == nil {
		if info, err = jar.Inspect(cmd.Archive, jar.Limits{}); err != nil {
			return fmt.Errorf("look into %s: %w", cmd.Archive, err)
		}
	}
	request, err := cmd.request(info, src)
	if err != nil {
		return err
	}
	samples, err := cmd.samples(c, info)
	if err != nil {
		return err
	}
	var archive []byte
	if src != nil {
		archive = src.archive
	}
	if archive == nil {
		if archive, err = os.ReadFile(cmd.Archive); err != nil {
			return fmt.Errorf("read archive: %w", err)
		}
	}
	known, err := cmd.complete(c, request, src)
	if err != nil {
		return err
	}
	if known { // what comes is checked with them
		if err := putSamples(c, cmd.Function, samples); err != nil {
			return err
		}
	}
	c.Say("deploying %s: %s, %s, %.2f MB", cmd.Function, request["Runtime"], described(request, info), float64(len(archive))/1e6)
	conf, err := c.Client.Deploy(c, cmd.Function, archive, request, cmd.Publish)
	if err != nil {
		return err
	}
	if !known {
		if err := putSamples(c, cmd.Function, samples); err != nil {
			return err
		}
	}
	if conf.StateReason != "" {
		c.Say("note: %s", conf.StateReason)
	}
	result := struct {
		*client.Configuration
		URL string `json:"FunctionUrl,omitempty"`
	}{Configuration: conf}
	if cmd.URL || cmd.isWeb(info) {
		if result.URL, err = c.Client.FunctionURL(c, cmd.Function); err != nil {
			return err
		}
	}
	return c.Print(result, func(w io.Writer) error {
		if _, err := fmt.Fprintln(w, conf.FunctionArn); err != nil || result.URL == "" {
			return err
		}
		_, err := fmt.Fprintln(w, result.URL)
		return err
	})
}

func (cmd *deployCommand) isWeb(info *jar.Info) bool {
	return cmd.Web || cmd.MainClass != "" || cmd.Handler == "" && info.Kind() == function.KindWeb
}

// request is what the archive and the flags say, as Lambda's API takes it.
func (cmd *deployCommand) request(info *jar.Info, src *source) (map[string]any, error) {
	request := map[string]any{}
	switch {
	case src != nil:
		if cmd.Web || cmd.MainClass != "" {
			return nil, &usageError{"web applications are in Java: a function in " + src.language.Name + " gets HTTP requests by its function URL (--url)"}
		}
		if cmd.Handler == "" {
			handler, err := src.handler()
			if err != nil {
				return nil, err
			}
			request["Handler"] = handler
		}
	case info.Kind() == function.KindProvided:
		request["Runtime"], request["Handler"] = "provided.al2023", "bootstrap"
	case cmd.isWeb(info):
		request["Runtime"], request["Handler"] = javaRuntime(info), "web"
		if cmd.MainClass != "" {
			request["Handler"] = "web:" + cmd.MainClass
		}
	default:
		handler := cmd.Handler
		if handler == "" {
			if info.Doubt() != "" {
				return nil, &usageError{noHandler(info)}
			}
			handler = info.Candidates()[0]
		}
		request["Runtime"], request["Handler"] = javaRuntime(info), handler
	}
	if cmd.Handler != "" {
		request["Handler"] = cmd.Handler
	}
	if cmd.Runtime != "" {
		request["Runtime"] = cmd.Runtime
	}
	if cmd.Memory != 0 {
		request["MemorySize"] = cmd.Memory
	}
	if cmd.Timeout != 0 {
		request["Timeout"] = int((cmd.Timeout + time.Second - 1) / time.Second)
	}
	cmd.environment(request)
	return request, nil
}

// environment puts what is said by variables into a request.
func (cmd *deployCommand) environment(request map[string]any) {
	env := map[string]string{}
	for k, v := range cmd.Env {
		env[k] = v
	}
	if cmd.Concurrency != 0 {
		env[concurrencyVariable] = fmt.Sprint(cmd.Concurrency)
	}
	if cmd.Driver != "" {
		env[driverVariable] = cmd.Driver
	}
	if len(env) > 0 {
		request["Environment"] = map[string]any{"Variables": env}
	}
}

// samples reads the payloads for checks, and refuses them before anything is deployed.
func (cmd *deployCommand) samples(c *Context, info *jar.Info) ([]byte, error) {
	if cmd.Check == "" {
		return nil, nil
	}
	doc, err := c.read(cmd.Check)
	if err != nil {
		return nil, fmt.Errorf("read payloads: %w", err)
	}
	kind := function.KindHandler
	if cmd.isWeb(info) {
		kind = function.KindWeb
	}
	all, err := compare.ParseOwn(kind, bytes.NewReader(doc))
	switch {
	case err != nil:
		return nil, &usageError{cmd.Check + ": " + err.Error()}
	case len(all) == 0:
		return nil, &usageError{cmd.Check + ": there is no payload in it: want one JSON value in each line"}
	}
	return doc, nil
}

// putSamples gives a function its samples, if there are any.
func putSamples(c *Context, name string, samples []byte) error {
	if samples == nil {
		return nil
	}
	resp, err := c.Client.Do(c, http.MethodPut, client.OwnFunction(name)+"/samples", http.Header{"Content-Type": {"application/jsonl"}}, samples)
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

// complete adds what a new function needs and nobody said. One that is known keeps what it has, and gets
// its policy first: what the code that comes is prepared by.
func (cmd *deployCommand) complete(c *Context, request map[string]any, src *source) (known bool, err error) {
	var own store.Policy
	if err := cmd.policyFlags.apply(&own); err != nil {
		return false, &usageError{err.Error()}
	}
	var has struct {
		Runtime     string
		Environment struct{ Variables map[string]string }
	}
	err = c.Client.Call(c, http.MethodGet, client.FunctionPath(cmd.Function)+"/configuration", nil, &has)
	var missing *client.Error
	if notFound := errors.As(err, &missing) && missing.Status == http.StatusNotFound; src != nil && request["Runtime"] == nil && (err == nil || notFound) {
		runtime, err := src.runtime(c, has.Runtime)
		if err != nil {
			return false, err
		}
		request["Runtime"] = runtime
	}
	if err == nil {
		cmd.keepVariables(request, has.Environment.Variables)
		return true, setPolicy(c, client.OwnFunction(cmd.Function)+"/policy", own)
	}
	if !errors.As(err, &missing) || missing.Status != http.StatusNotFound {
		return false, err
	}
	if own != (store.Policy{}) {
		request["CloudjitPolicy"] = own
	}
	defaults := map[string]any{"Timeout": 30, "MemorySize": 512, "Role": "arn:aws:iam::000000000000:role/cloudjit"}
	if request["Runtime"] == "provided.al2023" {
		defaults["MemorySize"] = 128
	}
	if src != nil {
		defaults["MemorySize"] = 256
	}
	for key, value := range defaults {
		if _, set := request[key]; !set {
			request[key] = value
		}
	}
	return false, nil
}

// Variables by which a function says what Lambda's API has no field for.
const (
	concurrencyVariable = "CLOUDJIT_CONCURRENCY"
	driverVariable      = "CLOUDJIT_DRIVER"
)

// keepVariables leaves a function that is known what the flags do not speak of: --env is about its own variables, other flags each
// about one of the platform's. The API takes only all of them.
func (cmd *deployCommand) keepVariables(request map[string]any, has map[string]string) {
	environment, ok := request["Environment"].(map[string]any)
	if !ok {
		return
	}
	variables := environment["Variables"].(map[string]string)
	for name, value := range has {
		ours := name == concurrencyVariable || name == driverVariable
		if _, given := variables[name]; !given && (ours || len(cmd.Env) == 0) {
			variables[name] = value
		}
	}
}

func javaRuntime(info *jar.Info) string {
	for _, release := range javaRuntimes {
		if info.JavaVersion <= release {
			if release == 8 {
				return "java8.al2"
			}
			return fmt.Sprint("java", release)
		}
	}
	return fmt.Sprint("java", javaRuntimes[len(javaRuntimes)-1])
}

func noHandler(info *jar.Info) string {
	switch {
	case len(info.Candidates()) == 0:
		return info.Doubt() + ": say which with --handler package.Class::method, or --main-class"
	case info.Kind() == function.KindUnknown:
		return info.Doubt() + ", with --web or --handler"
	}
	return "several classes could be the handler: choose one with --handler: " + strings.Join(first(info.Candidates(), 10), ", ")
}

// first are the first n names, with dots for the others.
func first(names []string, n int) []string {
	if len(names) > n {
		return append(names[:n:n], "...")
	}
	return names
}

func described(request map[string]any, info *jar.Info) string {
	if request["Handler"] == "web" {
		return "web application " + info.MainClass
	}
	return fmt.Sprint("handler ", request["Handler"])
}
