// Package config is what an operator can set: defaults, a strict YAML file, and the checks
// that both must pass. It must not act on any of it.
package config

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/cloudjit/cloudjit/internal/policy"
)

// Config of one server. Every field has a default; see Default.
type Config struct {
	// Listen is the address of the API. Anything but loopback needs Credentials and TLS, or Insecure.
	Listen string `yaml:"listen"`
	// TLS makes the API speak HTTPS.
	TLS TLS `yaml:"tls"`
	// Hosts are names, beside those of loopback and the address listened on, that requests may be sent
	// to; "*": any. Function URLs are below each as well: ID.lambda-url.HOST.
	Hosts []string `yaml:"hosts"`
	// Origins are those of web pages, as https://console.example.org, that may use the API from a
	// browser, beside the server's own.
	Origins []string `yaml:"origins"`
	// Data is the folder of all durable state; one server per folder.
	Data string `yaml:"data"`
	// Region and Account appear in ARNs; requests must be signed for the region.
	Region  string `yaml:"region"`
	Account string `yaml:"account"`
	// Credentials that requests must be signed with (SigV4), if any.
	Credentials []Credential `yaml:"credentials"`
	// Insecure allows to listen beyond loopback without credentials, or without TLS, and to be called
	// by any name.
	Insecure bool `yaml:"insecure"`
	// LogLevel is debug, info, warn or error.
	LogLevel string `yaml:"logLevel"`

	Workers   Workers   `yaml:"workers"`
	Policy    Policy    `yaml:"policy"`
	Checks    Checks    `yaml:"checks"`
	Builder   Builder   `yaml:"builder"`
	Artifacts Artifacts `yaml:"artifacts"`
	Snapshots Snapshots `yaml:"snapshots"`
	Async     Async     `yaml:"async"`
	Limits    Limits    `yaml:"limits"`
	Audit     Audit     `yaml:"audit"`
	Disk      Disk      `yaml:"disk"`
	Cluster   Cluster   `yaml:"cluster"`
}

// Disk bounds what is stored, in 1e6 bytes; what the builds made is Artifacts'.
type Disk struct {
	// BodiesMB of requests and answers under way, beyond what of them is in memory.
	BodiesMB int `yaml:"bodiesMB"`
	// CodeMB of uploaded archives and what is unpacked of them; 0: no limit. Uploads beyond are refused.
	CodeMB int `yaml:"codeMB"`
	// LogsMB of all functions; 0: no limit. Of those that wrote least recently the oldest half goes.
	LogsMB int `yaml:"logsMB"`
	// RecordingsMB that wait until something is made of them, and of profiles, which stay; 0: no limit. More are not kept.
	RecordingsMB int `yaml:"recordingsMB"`
}

// TLS names the PEM files of a certificate, with its chain, and of its key. They are read again when
// they change. Both or neither.
type TLS struct {
	Cert string `yaml:"cert"`
	Key  string `yaml:"key"`
}

// Credential is one access key, and what it may be used for.
type Credential struct {
	AccessKeyID     string `yaml:"accessKeyId"`
	SecretAccessKey string `yaml:"secretAccessKey"`
	// Name of the user, for the audit log and in messages; empty: AccessKeyID.
	Name string `yaml:"name"`
	// Allow lists what it may do, of Actions; empty: everything.
	Allow []string `yaml:"allow"`
	// Functions lists the names of the functions that it may do this with; an asterisk stands for any
	// characters: shop-*. Empty: all functions, and what is the platform's.
	Functions []string `yaml:"functions"`
}

// What credentials may be limited to.
const (
	ActionRead   = "read"   // look at functions, their code, logs and state
	ActionInvoke = "invoke" // run them
	ActionWrite  = "write"  // make, change and delete them
)

// Actions are the words of Credential.Allow.
func Actions() []string { return []string{ActionRead, ActionInvoke, ActionWrite} }

// Audit is the log of who did what, in the folder audit of Data.
type Audit struct {
	// FileMB is the size, 1e6 bytes, at which a file of it is put aside and a new one begun.
	FileMB int `yaml:"fileMB"`
	// Files that are kept, the current one included; 0: no audit log.
	Files int `yaml:"files"`
	// Invocations that were let in are in it as well, in files of their own.
	Invocations bool `yaml:"invocations"`
}

// Workers says how functions run.
type Workers struct {
	// Driver is "process" (sandboxes of the host's kernel), or "qemu" or "firecracker" (a virtual machine for each worker).
	Driver string `yaml:"driver"`
	// Drivers that functions may choose besides (CLOUDJIT_DRIVER). Nil: those that keep a function in more strictly than Driver does.
	Drivers []string `yaml:"drivers"`
	// Accel is how virtual machines run: "kvm", "tcg" (their processor is emulated), or "auto": KVM if a guest boots
	// with it.
	Accel string `yaml:"accel"`
	// Firecracker is its program; "": one that is installed.
	Firecracker string `yaml:"firecracker"`
	// Network of a worker: "none" (only the control channel) or "host".
	Network string `yaml:"network"`
	// KeepAlive of an idle worker; functions may have their own. 0 stops it at once.
	KeepAlive time.Duration `yaml:"keepAlive"`
	// Pause says whether idle workers are kept from running, PauseAfter how long they run on before; functions may
	// have their own Pause.
	Pause      bool          `yaml:"pause"`
	PauseAfter time.Duration `yaml:"pauseAfter"`
	// MemoryMiB that all workers may reserve together; 0: three quarters of the machine's.
	MemoryMiB int `yaml:"memoryMiB"`
	// Starts is how many workers may be starting at once; 0: twice the number of cores.
	Starts int `yaml:"starts"`
	// InitTimeout is how long a worker may take to become ready (Lambda's), WebInitTimeout the same of web applications.
	InitTimeout    time.Duration `yaml:"initTimeout"`
	WebInitTimeout time.Duration `yaml:"webInitTimeout"`
	// Concurrency of the whole node: invocations beyond are throttled (429).
	Concurrency int `yaml:"concurrency"`
	// Queue is how many invocations of one function may wait for a worker.
	Queue int `yaml:"queue"`
	// CPUs that one worker may use; 0: all.
	CPUs float64 `yaml:"cpus"`
	// Interpreters are programs, or folders with programs, that run functions in Python and JavaScript before those that are
	// found in PATH and in the folders of version managers.
	Interpreters []string `yaml:"interpreters"`
	// Users are the host's for workers of a server that is root, one for each function. Count 0: 65,536 from
	// 1,900,000,000 on.
	Users Users `yaml:"users"`
}

// Drivers that workers can have.
const (
	DriverProcess     = "process"
	DriverQEMU        = "qemu"
	DriverFirecracker = "firecracker"
)

// Drivers are the words of Workers.Driver.
func Drivers() []string { return []string{DriverProcess, DriverQEMU, DriverFirecracker} }

// Choices are the drivers that functions may have: that of all of them first, and those that they may choose besides.
func (w *Workers) Choices() []string {
	all := []string{w.Driver}
	besides := w.Drivers
	if besides == nil {
		besides = slices.DeleteFunc(Drivers(), func(d string) bool { return d == DriverProcess })
	}
	for _, d := range besides {
		if !slices.Contains(all, d) {
			all = append(all, d)
		}
	}
	return all
}

// Users is a range of the host's users that nothing else has.
type Users struct {
	First int `yaml:"first"`
	Count int `yaml:"count"`
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
	// SnapshotAfter is how many invocations, those that were sampled, a worker answers before it is saved as a snapshot. Functions
	// may have their own. 0: none.
	SnapshotAfter int `yaml:"snapshotAfter"`
}

// Checks says how artifacts are compared with plain HotSpot before they serve.
type Checks struct {
	// Enabled is false for a platform on which artifacts serve as soon as they come up. Functions may have
	// their own.
	Enabled bool `yaml:"enabled"`
	// Samples of what a revision was asked are kept for its checks; 0: none are, and only users' own are asked.
	Samples int `yaml:"samples"`
	// DiskMB (1e6 bytes) that the samples of all functions may take together.
	DiskMB int `yaml:"diskMB"`
}

// Builder bounds the builds.
type Builder struct {
	// GraalVM is a home to use instead of the newest one found.
	GraalVM string `yaml:"graalvm"`
	// Parallel builds of what takes minutes: native images.
	Parallel int `yaml:"parallel"`
	// Light is the same for what takes seconds: AOT caches and snapshots. They never wait for the others.
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

// Snapshots says how what is saved of workers is kept.
type Snapshots struct {
	// Key names a file with 32 random bytes in base64, which only the server's user may read: snapshots are
	// encrypted with it. Empty: they are not.
	Key string `yaml:"key"`
}

// Async is the queue of Event invocations.
type Async struct {
	// Retries after the first try, and how long the first waits; each later one waits twice as long.
	Retries int           `yaml:"retries"`
	Backoff time.Duration `yaml:"backoff"`
	// MaxAge of an event in the queue.
	MaxAge time.Duration `yaml:"maxAge"`
	// Queue is how many events of one function may wait and run, QueueMB how much payload (1e6 bytes) they may have;
	// QueueAll and QueueAllMB are the same of all functions. What is beyond is refused (429).
	Queue      int `yaml:"queue"`
	QueueMB    int `yaml:"queueMB"`
	QueueAll   int `yaml:"queueAll"`
	QueueAllMB int `yaml:"queueAllMB"`
	// Parallel is how many events may run at once; one function gets an eighth of what is free.
	Parallel int `yaml:"parallel"`
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
			Driver:         DriverProcess,
			Accel:          "auto",
			Network:        "none",
			KeepAlive:      10 * time.Minute, // paper, 5.1; OpenWhisk's default
			Pause:          true,
			PauseAfter:     100 * time.Millisecond,
			Starts:         2 * runtime.NumCPU(),
			InitTimeout:    10 * time.Second,
			WebInitTimeout: time.Minute,
			Concurrency:    4000,
			Queue:          10_000,
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
			SnapshotAfter:    20,
		},
		Checks:    Checks{Enabled: true, Samples: 20, DiskMB: 64},
		Builder:   Builder{Parallel: 1, Light: 1, Time: 30 * time.Minute},
		Artifacts: Artifacts{DiskMB: 20_000},
		Async: Async{
			Retries: 2, Backoff: time.Minute, MaxAge: 6 * time.Hour,
			Queue: 100_000, QueueMB: 250, QueueAll: 250_000, QueueAllMB: 1000, Parallel: 576,
		},
		Limits: Limits{Code: 250 << 20, Unzipped: 500 << 20, Request: 6 << 20, Event: 1 << 20, Logs: 64 << 20},
		Disk:   Disk{BodiesMB: 4000, CodeMB: 50_000, LogsMB: 2000, RecordingsMB: 2000},
		Audit:  Audit{FileMB: 20, Files: 5, Invocations: true},
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
	// hostPattern is loose: whether a name exists is for its users to find out.
	hostPattern     = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?$`)
	functionPattern = regexp.MustCompile(`^[A-Za-z0-9_*-]{1,64}$`)
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
		check(c.TLS.Cert != "", "listen",
			c.Listen+" can be reached from other machines: configure a certificate (--tls-cert and --tls-key), or say insecure (--insecure) if nobody can listen in between")
	}
	check((c.TLS.Cert == "") == (c.TLS.Key == ""), "tls", "want cert and key, or neither")
	for i, h := range c.Hosts {
		check(h == "*" || hostPattern.MatchString(h) || net.ParseIP(h) != nil, fmt.Sprintf("hosts[%d]", i), fmt.Sprintf("%q: want a host name or an address, without a port", h))
	}
	for i, o := range c.Origins {
		u, err := url.Parse(o)
		check(err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && u.Scheme+"://"+u.Host == o, fmt.Sprintf("origins[%d]", i), fmt.Sprintf("%q: want an origin, as https://console.example.org", o))
	}
	check(c.Data != "", "data", "want a folder")
	check(accountPattern.MatchString(c.Account), "account", "want 12 digits")
	check(regionPattern.MatchString(c.Region), "region", "want a region, as us-east-1")
	seen := map[string]bool{}
	for i, k := range c.Credentials {
		key := fmt.Sprintf("credentials[%d]", i)
		check(k.AccessKeyID != "" && k.SecretAccessKey != "", key, "want accessKeyId and secretAccessKey")
		check(!seen[k.AccessKeyID], key, fmt.Sprintf("accessKeyId %s is there twice", k.AccessKeyID))
		seen[k.AccessKeyID] = true
		for _, a := range k.Allow {
			check(slices.Contains(Actions(), a), key+".allow", fmt.Sprintf("%q is not one of %s", a, strings.Join(Actions(), ", ")))
		}
		for _, f := range k.Functions {
			check(functionPattern.MatchString(f), key+".functions", fmt.Sprintf("%q: want names of functions, in which * stands for any characters", f))
		}
	}
	check(c.Disk.BodiesMB >= 16, "disk.bodiesMB", "want 16 or more")
	check(c.Disk.CodeMB >= 0, "disk.codeMB", "want 0 or more")
	check(c.Disk.LogsMB >= 0, "disk.logsMB", "want 0 or more")
	check(c.Disk.RecordingsMB >= 0, "disk.recordingsMB", "want 0 or more")
	check(c.Audit.FileMB > 0, "audit.fileMB", "want 1 or more")
	check(c.Audit.Files >= 0, "audit.files", "want 0 or more")
	oneOf := func(key, v string, names ...string) {
		for _, n := range names {
			if v == n {
				return
			}
		}
		check(false, key, fmt.Sprintf("%q is not one of %s", v, strings.Join(names, ", ")))
	}
	oneOf("logLevel", c.LogLevel, "debug", "info", "warn", "error")
	oneOf("workers.driver", c.Workers.Driver, Drivers()...)
	oneOf("workers.accel", c.Workers.Accel, "auto", "kvm", "tcg")
	oneOf("workers.network", c.Workers.Network, "none", "host")
	for _, d := range c.Workers.Drivers {
		oneOf("workers.drivers", d, Drivers()...)
	}
	oneOf("policy.name", c.Policy.Name, policy.Names()...)
	oneOf("policy.onMissing", c.Policy.OnMissing, "reexecute", "error")
	oneOf("policy.prepare", c.Policy.Prepare, policy.PrepareNames()...)
	check(c.Workers.KeepAlive >= 0, "workers.keepAlive", "want 0 or more")
	check(c.Workers.PauseAfter > 0, "workers.pauseAfter", "want more than 0; pause: false leaves idle workers running")
	check(c.Workers.MemoryMiB >= 0, "workers.memoryMiB", "want 0 or more")
	check(c.Workers.Starts > 0, "workers.starts", "want 1 or more")
	check(c.Workers.InitTimeout >= time.Second && c.Workers.InitTimeout <= 15*time.Minute, "workers.initTimeout", "want 1s to 15m")
	check(c.Workers.WebInitTimeout >= time.Second && c.Workers.WebInitTimeout <= 15*time.Minute, "workers.webInitTimeout", "want 1s to 15m")
	check(c.Workers.Concurrency > 0, "workers.concurrency", "want 1 or more")
	check(c.Workers.Queue > 0, "workers.queue", "want 1 or more")
	u := c.Workers.Users
	check(u == Users{} || u.First >= 1000 && u.Count > 0 && u.First <= 1<<31-1-u.Count, "workers.users", "want first and count, within 1000 and 2147483647")
	check(c.Workers.CPUs >= 0, "workers.cpus", "want 0 or more")
	c.Cluster.check(c, check)
	check(c.Policy.Threshold >= 0, "policy.threshold", "want 0 or more")
	check(c.Policy.Threshold <= 1_000_000, "policy.threshold", "want at most 1000000")
	check(c.Policy.Window > 0, "policy.window", "want more than 0")
	check(c.Policy.TraceInvocations > 0, "policy.traceInvocations", "want 1 or more")
	check(c.Policy.OptimizeAfter >= 0, "policy.optimizeAfter", "want 0 or more")
	check(c.Policy.SnapshotAfter >= 0 && c.Policy.SnapshotAfter <= 10_000, "policy.snapshotAfter", "want 0 to 10000")
	check(c.Checks.Samples >= 0 && c.Checks.Samples <= 1000, "checks.samples", "want 0 to 1000")
	check(c.Checks.DiskMB >= 0, "checks.diskMB", "want 0 or more")
	check(c.Builder.Parallel > 0, "builder.parallel", "want 1 or more")
	check(c.Policy.MaxWait >= 0 && c.Policy.MaxWait <= 15*time.Minute, "policy.maxWait", "want 0 to 15m")
	check(c.Builder.Light > 0, "builder.light", "want 1 or more")
	check(c.Artifacts.DiskMB >= 0, "artifacts.diskMB", "want 0 or more")
	check(c.Builder.MemoryMiB >= 0, "builder.memoryMiB", "want 0 or more")
	check(c.Builder.CPUs >= 0, "builder.cpus", "want 0 or more")
	check(c.Builder.Time > 0, "builder.time", "want more than 0")
	check(c.Async.Retries >= 0 && c.Async.Retries <= 2, "async.retries", "want 0, 1 or 2")
	check(c.Async.Backoff > 0, "async.backoff", "want more than 0")
	check(c.Async.Queue > 0, "async.queue", "want 1 or more")
	check(c.Async.QueueMB > 0, "async.queueMB", "want 1 or more")
	check(c.Async.QueueAll >= c.Async.Queue, "async.queueAll", "want async.queue or more")
	check(c.Async.QueueAllMB >= c.Async.QueueMB, "async.queueAllMB", "want async.queueMB or more")
	check(c.Async.Parallel >= 8, "async.parallel", "want 8 or more")
	check(c.Async.MaxAge > 0 && c.Async.MaxAge <= 6*time.Hour, "async.maxAge", "want more than 0 and at most 6h")
	for _, l := range []struct {
		key string
		v   int64
	}{{"code", c.Limits.Code}, {"unzipped", c.Limits.Unzipped}, {"request", c.Limits.Request}, {"event", c.Limits.Event}, {"logs", c.Limits.Logs}} {
		check(l.v > 0, "limits."+l.key, "want more than 0 bytes")
	}
	return errors.Join(errs...)
}

// Loopback reports whether only this machine can reach the host. Names below localhost lead nowhere else
// (RFC 6761, 6.3).
func Loopback(host string) bool {
	if host = strings.ToLower(host); host == "localhost" || strings.HasSuffix(host, ".localhost") {
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
