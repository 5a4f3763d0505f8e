// Package config is what an operator can set: defaults, a strict YAML file, and the checks
// that both must pass. It must not act on any of it.
package config

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/cloudjit/cloudjit/internal/policy"
)

// Config of one server. Every field has a default; see Default.
type Config struct {
	// Listen is the address of the API. Anything but loopback needs Credentials or Insecure.
	Listen string `yaml:"listen"`
	// Data is the folder of all durable state; one server per folder.
	Data string `yaml:"data"`
	// Region and Account appear in ARNs; nothing else depends on them.
	Region  string `yaml:"region"`
	Account string `yaml:"account"`
	// Credentials that requests must be signed with (SigV4), if any.
	Credentials []Credential `yaml:"credentials"`
	// Insecure allows to listen beyond loopback without credentials.
	Insecure bool `yaml:"insecure"`
	// LogLevel is debug, info, warn or error.
	LogLevel string `yaml:"logLevel"`

	Workers   Workers   `yaml:"workers"`
	Policy    Policy    `yaml:"policy"`
	Builder   Builder   `yaml:"builder"`
	Artifacts Artifacts `yaml:"artifacts"`
	Async     Async     `yaml:"async"`
	Limits    Limits    `yaml:"limits"`
}

// Credential is one access key.
type Credential struct {
	AccessKeyID     string `yaml:"accessKeyId"`
	SecretAccessKey string `yaml:"secretAccessKey"`
}

// Workers says how functions run.
type Workers struct {
	// Driver is "process".
	Driver string `yaml:"driver"`
	// Network of a worker: "none" (only the control channel) or "host".
	Network string `yaml:"network"`
	// KeepAlive of an idle worker; functions may have their own. 0 stops it at once.
	KeepAlive time.Duration `yaml:"keepAlive"`
	// MemoryMiB that all workers may reserve together; 0: three quarters of the machine's.
	MemoryMiB int `yaml:"memoryMiB"`
	// Starts is how many workers may be starting at once; 0: twice the number of cores.
	Starts int `yaml:"starts"`
	// Concurrency of the whole node: invocations beyond are throttled (429).
	Concurrency int `yaml:"concurrency"`
	// Queue is how many invocations of one function may wait for a worker.
	Queue int `yaml:"queue"`
	// CPUs that one worker may use; 0: all.
	CPUs float64 `yaml:"cpus"`
}

// Policy says which functions are optimized (paper, 4.2).
type Policy struct {
	// Name is which of internal/policy's decides: "ladder", "paper" or another.
	Name string `yaml:"name"`
	// Enabled is false for a platform that keeps every function on the first rung of its ladder.
	Enabled bool `yaml:"enabled"`
	// Threshold: a function with more cold starts than this inside Window is optimized.
	Threshold int           `yaml:"threshold"`
	Window    time.Duration `yaml:"window"`
	// TraceInvocations is how many invocations the tracing worker serves at most (paper: 1000).
	TraceInvocations int `yaml:"traceInvocations"`
	// OptimizeAfter is how many invocations a quick binary serves before the optimized one is
	// built; 0: never. Only the policy "paper" goes by it.
	OptimizeAfter int `yaml:"optimizeAfter"`
	// OnMissing is what happens to an invocation that meets missing metadata: reexecute or error.
	OnMissing string `yaml:"onMissing"`
	// Prepare is when what makes a function start sooner is made: deploy, first-use or never.
	// Functions may have their own.
	Prepare string `yaml:"prepare"`
	// MaxWait bounds the latency that a shorter keep-alive may add to an invocation: where a start
	// takes longer, idle workers are kept for all of KeepAlive. Functions may have their own. 0: no bound.
	MaxWait time.Duration `yaml:"maxWait"`
}

// Builder bounds the builds.
type Builder struct {
	// GraalVM is a home to use instead of the newest one found.
	GraalVM string `yaml:"graalvm"`
	// Parallel builds of what takes minutes: native images.
	Parallel int `yaml:"parallel"`
	// Light is the same for what takes a second or a few: AOT caches. They never wait for the others.
	Light int `yaml:"light"`
	// MemoryMiB of a build; 0: half of the machine's, 8 GiB at most.
	MemoryMiB int           `yaml:"memoryMiB"`
	CPUs      float64       `yaml:"cpus"` // 0: all
	Time      time.Duration `yaml:"time"`
}

// Artifacts bounds what the builds made.
type Artifacts struct {
	// DiskMB that all caches and binaries in use may take together, 1e6 bytes; those that are worth
	// least for their size are dropped first. 0: no limit.
	DiskMB int `yaml:"diskMB"`
}

// Async is the queue of Event invocations.
type Async struct {
	// Retries after the first try, and how long the first waits; each later one waits twice as long.
	Retries int           `yaml:"retries"`
	Backoff time.Duration `yaml:"backoff"`
	// MaxAge of an event in the queue.
	MaxAge time.Duration `yaml:"maxAge"`
}

// Limits of what is accepted, in bytes.
type Limits struct {
	Code     int64 `yaml:"code"`     // an uploaded archive
	Unzipped int64 `yaml:"unzipped"` // the same, unpacked
	Request  int64 `yaml:"request"`  // a synchronous payload
	Event    int64 `yaml:"event"`    // an asynchronous payload
	Logs     int64 `yaml:"logs"`     // the log of one function on disk
}

const defaultPolicy = "ladder"

// Default returns the configuration of a server that was told nothing. The limits are those
// of AWS Lambda (https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html),
// except that archives may be larger: there is no S3 to take large ones from.
func Default() Config {
	return Config{
		Listen:   "127.0.0.1:9700",
		Data:     dataDir(),
		Region:   "us-east-1",
		Account:  "000000000000",
		LogLevel: "info",
		Workers: Workers{
			Driver:      "process",
			Network:     "none",
			KeepAlive:   10 * time.Minute, // paper, 5.1; OpenWhisk's default
			Starts:      2 * runtime.NumCPU(),
			Concurrency: 1000,
			Queue:       10_000,
		},
		Policy: Policy{
			Name:             defaultPolicy,
			Enabled:          true,
			Threshold:        10, // paper, 4.2
			Window:           time.Minute,
			TraceInvocations: 1000, // paper, 4.1
			OptimizeAfter:    10_000,
			OnMissing:        "reexecute",
			Prepare:          policy.PrepareFirstUse.String(),
		},
		Builder:   Builder{Parallel: 1, Light: 1, Time: 30 * time.Minute},
		Artifacts: Artifacts{DiskMB: 20_000},
		Async:     Async{Retries: 2, Backoff: time.Minute, MaxAge: 6 * time.Hour},
		Limits:    Limits{Code: 250 << 20, Unzipped: 500 << 20, Request: 6 << 20, Event: 1 << 20, Logs: 64 << 20},
	}
}

// Load reads a file over the defaults. Unknown keys are errors, with their place.
func Load(path string) (Config, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return Config{}, fmt.Errorf("read configuration: %w", err)
	}
	return Parse(b)
}

// Parse is Load on the file's content.
func Parse(b []byte) (Config, error) {
	c := Default()
	if len(strings.TrimSpace(string(b))) == 0 {
		return c, nil
	}
	if err := yaml.UnmarshalWithOptions(b, &c, yaml.Strict()); err != nil {
		return Config{}, fmt.Errorf("configuration: %w", err)
	}
	if err := c.Check(); err != nil {
		return Config{}, fmt.Errorf("configuration: %w", err)
	}
	return c, nil
}

var (
	accountPattern = regexp.MustCompile(`^\d{12}$`)
	regionPattern  = regexp.MustCompile(`^[a-z]{2}(-[a-z]+)+-\d$`)
)

// Check returns everything that is wrong, each with the key it stands at.
func (c *Config) Check() error {
	var errs []error
	check := func(ok bool, key, want string) {
		if !ok {
			errs = append(errs, fmt.Errorf("%s: %s", key, want))
		}
	}
	host, _, err := net.SplitHostPort(c.Listen)
	check(err == nil, "listen", "want HOST:PORT, as in 127.0.0.1:9700")
	if err == nil && !Loopback(host) && !c.Insecure {
		check(len(c.Credentials) > 0, "listen",
			c.Listen+" can be reached from other machines: configure credentials, or say insecure (--insecure) if everybody there may run code here")
	}
	check(c.Data != "", "data", "want a folder")
	check(accountPattern.MatchString(c.Account), "account", "want 12 digits")
	check(regionPattern.MatchString(c.Region), "region", "want a region, as us-east-1")
	for i, k := range c.Credentials {
		check(k.AccessKeyID != "" && k.SecretAccessKey != "", fmt.Sprintf("credentials[%d]", i), "want accessKeyId and secretAccessKey")
	}
	oneOf := func(key, v string, names ...string) {
		for _, n := range names {
			if v == n {
				return
			}
		}
		check(false, key, fmt.Sprintf("%q is not one of %s", v, strings.Join(names, ", ")))
	}
	oneOf("logLevel", c.LogLevel, "debug", "info", "warn", "error")
	oneOf("workers.driver", c.Workers.Driver, "process")
	oneOf("workers.network", c.Workers.Network, "none", "host")
	oneOf("policy.name", c.Policy.Name, policy.Names()...)
	oneOf("policy.onMissing", c.Policy.OnMissing, "reexecute", "error")
	oneOf("policy.prepare", c.Policy.Prepare, policy.PrepareNames()...)
	check(c.Workers.KeepAlive >= 0, "workers.keepAlive", "want 0 or more")
	check(c.Workers.MemoryMiB >= 0, "workers.memoryMiB", "want 0 or more")
	check(c.Workers.Starts > 0, "workers.starts", "want 1 or more")
	check(c.Workers.Concurrency > 0, "workers.concurrency", "want 1 or more")
	check(c.Workers.Queue > 0, "workers.queue", "want 1 or more")
	check(c.Workers.CPUs >= 0, "workers.cpus", "want 0 or more")
	check(c.Policy.Threshold >= 0, "policy.threshold", "want 0 or more")
	check(c.Policy.Threshold <= 1_000_000, "policy.threshold", "want at most 1000000")
	check(c.Policy.Window > 0, "policy.window", "want more than 0")
	check(c.Policy.TraceInvocations > 0, "policy.traceInvocations", "want 1 or more")
	check(c.Policy.OptimizeAfter >= 0, "policy.optimizeAfter", "want 0 or more")
	check(c.Builder.Parallel > 0, "builder.parallel", "want 1 or more")
	check(c.Policy.MaxWait >= 0 && c.Policy.MaxWait <= 15*time.Minute, "policy.maxWait", "want 0 to 15m")
	check(c.Builder.Light > 0, "builder.light", "want 1 or more")
	check(c.Artifacts.DiskMB >= 0, "artifacts.diskMB", "want 0 or more")
	check(c.Builder.MemoryMiB >= 0, "builder.memoryMiB", "want 0 or more")
	check(c.Builder.CPUs >= 0, "builder.cpus", "want 0 or more")
	check(c.Builder.Time > 0, "builder.time", "want more than 0")
	check(c.Async.Retries >= 0 && c.Async.Retries <= 2, "async.retries", "want 0, 1 or 2")
	check(c.Async.Backoff > 0, "async.backoff", "want more than 0")
	check(c.Async.MaxAge > 0 && c.Async.MaxAge <= 6*time.Hour, "async.maxAge", "want more than 0 and at most 6h")
	for _, l := range []struct {
		key string
		v   int64
	}{{"code", c.Limits.Code}, {"unzipped", c.Limits.Unzipped}, {"request", c.Limits.Request}, {"event", c.Limits.Event}, {"logs", c.Limits.Logs}} {
		check(l.v > 0, "limits."+l.key, "want more than 0 bytes")
	}
	return errors.Join(errs...)
}

// Loopback reports whether only this machine can reach the host.
func Loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// CacheDir is where tool chains and downloads are kept, outside of every checkout and data
// folder: $CLOUDJIT_CACHE, or cloudjit in the user's cache folder.
func CacheDir() string {
	if dir := os.Getenv("CLOUDJIT_CACHE"); dir != "" {
		return dir
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		dir = os.TempDir()
	}
	return filepath.Join(dir, "cloudjit")
}

func dataDir() string {
	if dir := os.Getenv("XDG_DATA_HOME"); dir != "" {
		return filepath.Join(dir, "cloudjit")
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "cloudjit-data"
	}
	return filepath.Join(home, ".local", "share", "cloudjit")
}
