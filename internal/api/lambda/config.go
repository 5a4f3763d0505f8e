package lambda

import (
	"maps"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cloudjit/cloudjit/internal/api/gate"
	"github.com/cloudjit/cloudjit/internal/config"
	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/jar"
	"github.com/cloudjit/cloudjit/internal/language"
	"github.com/cloudjit/cloudjit/internal/launch"
	"github.com/cloudjit/cloudjit/internal/store"
)

// configInput is the configuration in a create or update request; nil: not given.
type configInput struct {
	Runtime, Handler, Role, Description *string
	Timeout, MemorySize                 *int
	Environment                         *struct{ Variables map[string]string }
	KMSKeyArn                           *string
	TracingConfig                       *struct{ Mode string }
	SnapStart                           *struct{ ApplyOn string }
	EphemeralStorage                    *struct{ Size int }
	Architectures                       []string
	LoggingConfig                       *struct{ LogFormat, ApplicationLogLevel, SystemLogLevel, LogGroup string }
	PackageType                         string

	// What there is nothing for here. Refused when given, because a function that needs it
	// would not work; its empty forms, which Terraform sends, are accepted.
	VpcConfig            *struct{ SubnetIds, SecurityGroupIds []string }
	Layers               []string
	FileSystemConfigs    []any
	ImageConfig          *struct{ EntryPoint, Command []string }
	DeadLetterConfig     *struct{ TargetArn string }
	CodeSigningConfigArn string
	PublishTo            string
	TenancyConfig        *struct{ TenantIsolationMode string }
	DurableConfig        *struct{ ExecutionTimeout, RetentionPeriodInDays int }

	CapacityProviderConfig *struct{}
}

// Ranges as documented for Lambda.
const (
	minMemory, maxMemory   = 128, 10240 // MiB
	minTmp, maxTmp         = 512, 10240 // MiB
	maxTimeout             = 900        // s
	maxEnvironment         = 4 << 10    // bytes of names and values
	maxDescription         = 256
	maxHandler             = 128
	defaultMemory          = 128
	defaultTimeout         = 3 * time.Second
	maxWebConcurrency      = 1000
	concurrencyVariable    = "CLOUDJIT_CONCURRENCY"
	driverVariable         = "CLOUDJIT_DRIVER"
	webHandler             = "web"
	webHandlerPrefix       = "web:"
	managedArchitectureX86 = "x86_64"
	managedArchitectureARM = "arm64"
)

var javaRuntimes = []string{"java8", "java8.al2", "java11", "java17", "java21", "java25"}

// managedRuntimes are those that the platform brings a runtime client for.
func managedRuntimes() []string {
	all := slices.Clone(javaRuntimes)
	for _, l := range language.All() {
		all = append(all, l.Runtimes...)
	}
	return all
}

var providedRuntimes = []string{"provided", "provided.al2", "provided.al2023"}

// reserved variables that AWS refuses too: the runtime's own.
var reservedVariables = []string{
	"_HANDLER", "_X_AMZN_TRACE_ID", "AWS_DEFAULT_REGION", "AWS_REGION", "AWS_EXECUTION_ENV",
	"AWS_LAMBDA_FUNCTION_NAME", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "AWS_LAMBDA_FUNCTION_VERSION", "AWS_LAMBDA_INITIALIZATION_TYPE",
	"AWS_LAMBDA_LOG_GROUP_NAME", "AWS_LAMBDA_LOG_STREAM_NAME", "AWS_ACCESS_KEY", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY",
	"AWS_SESSION_TOKEN", "AWS_LAMBDA_RUNTIME_API", "LAMBDA_TASK_ROOT", "LAMBDA_RUNTIME_DIR",
}

// unsupported names the first thing in the request that there is nothing for here.
func (c *configInput) unsupported() error {
	switch {
	case c.PackageType != "" && c.PackageType != "Zip":
		return gate.Invalid("PackageType %s is not supported: only Zip.", gate.Clip(c.PackageType))
	case len(c.Layers) > 0:
		return gate.Invalid("Layers are not supported: put their files into the archive.")
	case c.VpcConfig != nil && len(c.VpcConfig.SubnetIds)+len(c.VpcConfig.SecurityGroupIds) > 0:
		return gate.Invalid("VpcConfig is not supported: there is no VPC here.")
	case len(c.FileSystemConfigs) > 0:
		return gate.Invalid("FileSystemConfigs are not supported: there is no EFS here.")
	case c.ImageConfig != nil && len(c.ImageConfig.EntryPoint)+len(c.ImageConfig.Command) > 0:
		return gate.Invalid("ImageConfig is not supported: only Zip packages are.")
	case c.DeadLetterConfig != nil && c.DeadLetterConfig.TargetArn != "":
		return gate.Invalid("DeadLetterConfig is not supported: there is no SQS or SNS here. Name a function as the OnFailure destination (PutFunctionEventInvokeConfig), or look at /cloudjit/v1/dead-letters.")
	case c.CodeSigningConfigArn != "":
		return gate.Invalid("Code signing is not supported.")
	case c.TenancyConfig != nil && c.TenancyConfig.TenantIsolationMode != "":
		return gate.Invalid("TenancyConfig is not supported: make a function for each tenant.")
	case c.DurableConfig != nil && c.DurableConfig.ExecutionTimeout+c.DurableConfig.RetentionPeriodInDays > 0:
		return gate.Invalid("DurableConfig is not supported: there are no durable executions here.")
	case c.CapacityProviderConfig != nil:
		return gate.Invalid("CapacityProviderConfig is not supported: functions run on this node.")
	}
	return refusePublishTo(c.PublishTo)
}

func refusePublishTo(to string) error {
	if to != "" {
		return gate.Invalid("PublishTo is not supported: it is for functions on capacity providers.")
	}
	return nil
}

// apply checks what is given and puts it into spec and attributes.
func (c *configInput) apply(spec *function.Spec, attr *store.Attributes) error {
	for _, step := range []func(*function.Spec, *store.Attributes) error{c.applySizes, c.applyText, c.applyEnvironment, c.applyLogging, c.applyEchoes} {
		if err := step(spec, attr); err != nil {
			return err
		}
	}
	return nil
}

func (c *configInput) applySizes(spec *function.Spec, _ *store.Attributes) error {
	if c.MemorySize != nil {
		if *c.MemorySize < minMemory {
			return gate.Validation("memorySize", strconv.Itoa(*c.MemorySize), "Member must have value greater than or equal to 128")
		}
		if *c.MemorySize > maxMemory {
			return gate.Invalid("'MemorySize' value failed to satisfy constraint: Member must have value less than or equal to %d", maxMemory)
		}
		spec.MemoryMiB = *c.MemorySize
	}
	if c.Timeout != nil {
		if *c.Timeout < 1 {
			return gate.Validation("timeout", strconv.Itoa(*c.Timeout), "Member must have value greater than or equal to 1")
		}
		if *c.Timeout > maxTimeout {
			return gate.Validation("timeout", strconv.Itoa(*c.Timeout), "Member must have value less than or equal to 900")
		}
		spec.Timeout = time.Duration(*c.Timeout) * time.Second
	}
	if c.EphemeralStorage != nil {
		if n := c.EphemeralStorage.Size; n < minTmp || n > maxTmp {
			return gate.Validation("ephemeralStorage.size", strconv.Itoa(n), "Member must have value between 512 and 10240")
		}
		spec.TmpMiB = c.EphemeralStorage.Size
	}
	return nil
}

func (c *configInput) applyText(spec *function.Spec, attr *store.Attributes) error {
	if c.Description != nil {
		if len(*c.Description) > maxDescription {
			return gate.Validation("description", gate.Clip(*c.Description), "Member must have length less than or equal to 256")
		}
		attr.Description = *c.Description
	}
	if c.Role != nil {
		if !gate.RolePattern.MatchString(*c.Role) {
			return gate.Validation("role", gate.Clip(*c.Role), "Member must satisfy regular expression pattern: "+gate.RolePattern.String())
		}
		attr.Role = *c.Role
	}
	if c.Handler != nil {
		if len(*c.Handler) > maxHandler {
			return gate.Validation("handler", gate.Clip(*c.Handler), "Member must have length less than or equal to 128")
		}
		if strings.ContainsAny(*c.Handler, " \t\r\n\v\f\x00") {
			return gate.Validation("handler", gate.Clip(*c.Handler), `Member must satisfy regular expression pattern: [^\s]+`)
		}
		spec.Handler = *c.Handler
	}
	if c.Runtime != nil {
		if managed := managedRuntimes(); !slices.Contains(managed, *c.Runtime) && !slices.Contains(providedRuntimes, *c.Runtime) {
			return gate.Invalid("Value %s at 'runtime' failed to satisfy constraint: Member must satisfy enum value set: [%s, %s] or be a valid ARN",
				gate.Clip(*c.Runtime), strings.Join(managed, ", "), strings.Join(providedRuntimes, ", "))
		}
		spec.Runtime = *c.Runtime
	}
	return nil
}

func (c *configInput) applyEnvironment(spec *function.Spec, _ *store.Attributes) error {
	if c.Environment == nil {
		return nil
	}
	size := 0
	for _, k := range slices.Sorted(maps.Keys(c.Environment.Variables)) {
		v := c.Environment.Variables[k]
		if !gate.EnvPattern.MatchString(k) {
			return gate.Validation("environment.variables", "["+gate.Clip(k)+"]", "Map keys must satisfy constraint: [Member must satisfy regular expression pattern: [a-zA-Z]([a-zA-Z0-9_])+]")
		}
		if slices.Contains(reservedVariables, k) {
			return gate.Invalid("Lambda was unable to configure your environment variables because the environment variables you have provided contains reserved keys that are currently not supported for modification. Reserved keys used in this request: %s", k)
		}
		if strings.ContainsRune(v, 0) {
			return gate.Invalid("The value of the environment variable %s contains a NUL byte.", k)
		}
		size += len(k) + len(v)
	}
	if size > maxEnvironment {
		return gate.Invalid("Lambda was unable to configure your environment variables because the environment variables you have provided exceeded the 4KB limit. String measured: %d bytes", size)
	}
	spec.Concurrency = 0
	if v, ok := c.Environment.Variables[concurrencyVariable]; ok {
		n, err := strconv.Atoi(v)
		if err != nil || n < 1 || n > maxWebConcurrency {
			return gate.Invalid("%s: want how many requests a worker of a web function takes at once, 1..%d, got %q", concurrencyVariable, maxWebConcurrency, gate.Clip(v))
		}
		spec.Concurrency = n
	}
	spec.Driver = ""
	if v, ok := c.Environment.Variables[driverVariable]; ok && v != "" {
		if !slices.Contains(config.Drivers(), v) {
			return gate.Invalid("%s: want what makes the function's workers, one of %s, got %q", driverVariable, strings.Join(config.Drivers(), ", "), gate.Clip(v))
		}
		spec.Driver = v
	}
	if v, ok := c.Environment.Variables[launch.ClientVariable]; ok && v != launch.ClientOwn && v != launch.ClientAWS {
		return gate.Invalid("%s: want %s (the platform's own runtime client) or %s (the published one, which the archive brings), got %q",
			launch.ClientVariable, launch.ClientOwn, launch.ClientAWS, gate.Clip(v))
	}
	spec.Environment = c.Environment.Variables
	return nil
}

// applyEchoes takes what is shown again and has no effect here.
func (c *configInput) applyEchoes(_ *function.Spec, attr *store.Attributes) error {
	if c.KMSKeyArn != nil {
		attr.KMSKey = *c.KMSKeyArn
	}
	if c.TracingConfig != nil {
		if err := oneOf("tracingConfig.mode", c.TracingConfig.Mode, "Active", "PassThrough"); err != nil {
			return err
		}
		attr.TracingMode = c.TracingConfig.Mode
	}
	if c.SnapStart != nil {
		if err := oneOf("snapStart.applyOn", c.SnapStart.ApplyOn, "PublishedVersions", "None"); err != nil {
			return err
		}
		attr.SnapStart = c.SnapStart.ApplyOn
	}
	if len(c.Architectures) > 0 {
		if len(c.Architectures) > 1 {
			return gate.Invalid("Architectures: only one is supported")
		}
		if err := oneOf("architectures", c.Architectures[0], managedArchitectureX86, managedArchitectureARM); err != nil {
			return err
		}
		attr.Architecture = c.Architectures[0]
	}
	return nil
}

func (c *configInput) applyLogging(spec *function.Spec, attr *store.Attributes) error {
	l := c.LoggingConfig
	if l == nil {
		return nil
	}
	for _, check := range []error{
		oneOf("loggingConfig.logFormat", l.LogFormat, "", function.LogJSON, function.LogText),
		oneOf("loggingConfig.applicationLogLevel", l.ApplicationLogLevel, "", "TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"),
		oneOf("loggingConfig.systemLogLevel", l.SystemLogLevel, "", "DEBUG", "INFO", "WARN"),
	} {
		if check != nil {
			return check
		}
	}
	if l.LogGroup != "" && !gate.GroupPattern.MatchString(l.LogGroup) {
		return gate.Validation("loggingConfig.logGroup", gate.Clip(l.LogGroup), "Member must satisfy regular expression pattern: "+gate.GroupPattern.String())
	}
	if l.LogFormat != function.LogJSON {
		for name, level := range map[string]string{"ApplicationLogLevel": l.ApplicationLogLevel, "SystemLogLevel": l.SystemLogLevel} {
			if level != "" {
				return gate.Invalid(`%s is not supported when LogFormat is set to "Text". Remove %s from your request or change the LogFormat to "JSON" and try again.`, name, name)
			}
		}
	}
	attr.SysLogLevel = l.SystemLogLevel // of the platform's lines: the function is not told
	spec.Logging = function.Logging{Format: l.LogFormat, Level: l.ApplicationLogLevel, Group: l.LogGroup}
	return nil
}

func oneOf(field, value string, allowed ...string) error {
	if slices.Contains(allowed, value) {
		return nil
	}
	return gate.Validation(field, gate.Clip(value), "Member must satisfy enum value set: ["+strings.Join(slices.DeleteFunc(slices.Clone(allowed), func(s string) bool { return s == "" }), ", ")+"]")
}

// machine is this machine's architecture as Lambda calls it.
func machine() string {
	if runtime.GOARCH == "arm64" {
		return managedArchitectureARM
	}
	return managedArchitectureX86
}

var webWithClass = regexp.MustCompile(`^web:[A-Za-z_$][\w$]*(\.[A-Za-z_$][\w$]*)*$`)

// classify decides what the code is, from what the user said and what the archive holds
// (docs/adr/0011), and fills what the user left open.
func classify(spec *function.Spec, attr *store.Attributes, info *jar.Info) error {
	spec.MainClass = ""
	if slices.Contains(providedRuntimes, spec.Runtime) {
		if info.Layout != jar.LayoutProvided {
			return gate.Invalid("Runtime %s needs an executable file \"bootstrap\" at the root of the archive; there is none.", spec.Runtime)
		}
		if attr.Architecture != machine() {
			return gate.Invalid("Architecture %s: a provided runtime must be built for this machine, which is %s.", attr.Architecture, machine())
		}
		spec.Kind = function.KindProvided
		return nil
	}
	if l, ok := language.OfRuntime(spec.Runtime); ok {
		if err := l.CheckHandler(spec.Handler); err != nil {
			return gate.Invalid("%s", err)
		}
		spec.Kind = l.Kind
		return nil
	}
	switch {
	case spec.Handler == "" && info.Kind() == function.KindUnknown && len(info.Candidates()) > 0:
		return gate.Invalid("Handler is missing, and the archive does not show which one is meant: %s, by the handler's name or by \"web\".", info.Doubt())
	case spec.Handler == "" && info.Kind() == function.KindHandler:
		if info.Doubt() != "" {
			return gate.Invalid("Handler is missing, and the archive has %d classes that it could be: name it as package.Class or package.Class::method.", len(info.Candidates()))
		}
		spec.Handler = info.Candidates()[0]
		spec.Kind = function.KindHandler
	case spec.Handler == "", spec.Handler == webHandler:
		return classifyWeb(spec, info)
	case strings.HasPrefix(spec.Handler, webHandlerPrefix):
		if !webWithClass.MatchString(spec.Handler) {
			return gate.Invalid("Handler %q: want \"web:\" and the full name of the main class.", gate.Clip(spec.Handler))
		}
		spec.Kind, spec.MainClass = function.KindWeb, strings.TrimPrefix(spec.Handler, webHandlerPrefix)
	case spec.Handler == info.MainClass && !isHandlerClass(info, spec.Handler):
		return classifyWeb(spec, info)
	default:
		spec.Kind = function.KindHandler
	}
	return checkJava(spec, info)
}

func classifyWeb(spec *function.Spec, info *jar.Info) error {
	if info.MainClass == "" {
		return gate.Invalid("Handler %q: the archive is no executable JAR (its manifest names no Main-Class). Name a handler as package.Class, or the main class of a web application as web:package.Class.", spec.Handler)
	}
	spec.Kind, spec.MainClass = function.KindWeb, info.MainClass
	if spec.Handler == "" {
		spec.Handler = webHandler
	}
	return checkJava(spec, info)
}

func checkJava(_ *function.Spec, info *jar.Info) error {
	if info.Layout == jar.LayoutProvided {
		return gate.Invalid("The archive holds a \"bootstrap\": its Runtime is one of %s.", strings.Join(providedRuntimes, ", "))
	}
	if info.Layout == jar.LayoutFiles {
		return gate.Invalid("The archive has no Java classes, but source code in another language. Set Runtime to one of %s.", strings.Join(managedRuntimes()[len(javaRuntimes):], ", "))
	}
	if info.Classes == 0 && len(info.Paths) <= 1 {
		return gate.Invalid("The archive has no classes: upload a JAR, or a ZIP with the JARs in lib/.")
	}
	return nil
}

func isHandlerClass(info *jar.Info, class string) bool {
	return slices.ContainsFunc(info.Handlers, func(h jar.Handler) bool { return h.Class == class })
}
