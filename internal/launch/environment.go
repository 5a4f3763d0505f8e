package launch

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/cloudjit/cloudjit/internal/function"
)

// MaxEnvironment is the size of all keys and values of a function's environment together, in bytes.
const MaxEnvironment = 4096

// reserved are the keys that AWS Lambda reserves, but for the credentials: CloudJIT gives its
// functions none, so one that needs them may bring its own.
var reserved = map[string]bool{
	"_HANDLER":                        true,
	"_X_AMZN_TRACE_ID":                true,
	"AWS_DEFAULT_REGION":              true,
	"AWS_REGION":                      true,
	"AWS_EXECUTION_ENV":               true,
	"AWS_LAMBDA_FUNCTION_NAME":        true,
	"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": true,
	"AWS_LAMBDA_FUNCTION_VERSION":     true,
	"AWS_LAMBDA_INITIALIZATION_TYPE":  true,
	"AWS_LAMBDA_LOG_GROUP_NAME":       true,
	"AWS_LAMBDA_LOG_STREAM_NAME":      true,
	"AWS_LAMBDA_RUNTIME_API":          true,
	"LAMBDA_TASK_ROOT":                true,
	"LAMBDA_RUNTIME_DIR":              true,
	"PORT":                            true,
}

// EnvironmentError is an environment that a function may not have; the text is for its owner.
type EnvironmentError struct{ Reason string }

func (e *EnvironmentError) Error() string { return e.Reason }

// ValidateEnvironment checks what a user gave, by AWS Lambda's rules. The error is an
// *EnvironmentError.
func ValidateEnvironment(environment map[string]string) error {
	var taken []string
	size := 0
	for _, key := range slices.Sorted(maps.Keys(environment)) {
		value := environment[key]
		size += len(key) + len(value)
		if reserved[key] {
			taken = append(taken, key)
			continue
		}
		if !validKey(key) {
			return &EnvironmentError{fmt.Sprintf("Environment variable %q: a name begins with a letter and goes on with letters, digits and underscores, two characters at least.", key)}
		}
		if strings.ContainsRune(value, 0) {
			return &EnvironmentError{fmt.Sprintf("Environment variable %s has a zero byte in its value.", key)}
		}
	}
	if len(taken) > 0 {
		return &EnvironmentError{"Lambda was unable to configure your environment variables because the environment variables you have provided contains reserved keys that are currently not supported for modification. Reserved keys used in this request: " + strings.Join(taken, ", ")}
	}
	if size > MaxEnvironment {
		return &EnvironmentError{fmt.Sprintf("Lambda was unable to configure your environment variables because the environment variables you have provided exceeded the 4KB limit. String measured: %d bytes.", size)}
	}
	return nil
}

func validKey(key string) bool {
	for i, c := range []byte(key) {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if !letter && (i == 0 || c != '_' && (c < '0' || c > '9')) {
			return false
		}
	}
	return len(key) >= 2
}

// lambdaLibraries is Lambda's LD_LIBRARY_PATH (https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html).
const lambdaLibraries = "/var/lang/lib:/lib64:/usr/lib64:" + runtimeDir + ":" + runtimeDir + "/lib:" + TaskDir + ":" + TaskDir + "/lib:/opt/lib"

// environment returns the worker's whole environment, sorted; the driver adds the address of the
// Runtime API or the port. It is Lambda's documented one, and the same on every rung: there is no JAVA_HOME, which a
// binary could not have.
func (b *builder) environment() []string {
	r := b.Revision
	region := b.Platform.Region
	if region == "" {
		region = "us-east-1"
	}
	env := map[string]string{
		// What a user may replace.
		"PATH": "/usr/local/bin:/usr/bin:/bin:/opt/bin",
		// Lambda's is en_US.UTF-8, which is not installed everywhere; without it file names beyond ASCII are lost.
		"LANG": "C.UTF-8",
		"TZ":   ":UTC",
		"HOME": "/tmp",
		// Where native libraries are looked for: java.library.path begins with it.
		"LD_LIBRARY_PATH":          lambdaLibraries,
		"AWS_XRAY_CONTEXT_MISSING": "LOG_ERROR",
		"AWS_XRAY_DAEMON_ADDRESS":  "169.254.79.129:2000", // as in Lambda; nobody listens
	}
	maps.Copy(env, b.defaults)
	maps.Copy(env, r.Environment)
	maps.Copy(env, map[string]string{
		"AWS_REGION":                      region,
		"AWS_DEFAULT_REGION":              region,
		"AWS_LAMBDA_FUNCTION_NAME":        string(r.Function),
		"AWS_LAMBDA_FUNCTION_VERSION":     r.Version,
		"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": strconv.Itoa(r.MemoryMiB),
		"AWS_LAMBDA_INITIALIZATION_TYPE":  "on-demand",
		"AWS_LAMBDA_LOG_GROUP_NAME":       LogGroup(r.Function),
		"AWS_LAMBDA_LOG_STREAM_NAME":      b.logStream(),
		"LAMBDA_TASK_ROOT":                TaskDir,
		"LAMBDA_RUNTIME_DIR":              runtimeDir,
	})
	if r.Logging.Group != "" {
		env["AWS_LAMBDA_LOG_GROUP_NAME"] = r.Logging.Group
	}
	if r.Logging.Format != "" {
		env["AWS_LAMBDA_LOG_FORMAT"] = r.Logging.Format
	}
	if r.Logging.Format == function.LogJSON {
		env["AWS_LAMBDA_LOG_LEVEL"] = cmp.Or(r.Logging.Level, "INFO")
	}
	if r.Runtime != "" {
		env["AWS_EXECUTION_ENV"] = "AWS_Lambda_" + r.Runtime
	}
	if r.Handler != "" {
		env["_HANDLER"] = r.Handler
	}
	if r.Kind == function.KindWeb {
		// Knative's runtime contract.
		env["K_SERVICE"] = string(r.Function)
		env["K_CONFIGURATION"] = string(r.Function)
		env["K_REVISION"] = string(r.ID)
	}
	list := make([]string, 0, len(env))
	for _, key := range slices.Sorted(maps.Keys(env)) {
		list = append(list, key+"="+env[key])
	}
	return list
}

// LogGroup is the name of a function's log, as the function sees it.
func LogGroup(name function.Name) string { return "/aws/lambda/" + string(name) }

func (b *builder) logStream() string {
	return b.Now.UTC().Format("2006/01/02") + "/[" + b.Revision.Version + "]" + b.ID
}
