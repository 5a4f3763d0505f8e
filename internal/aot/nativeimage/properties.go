package nativeimage

import (
	"archive/zip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/magiconair/properties"

	"github.com/cloudjit/cloudjit/internal/aot"
)

// An archive says how it is to be compiled in files native-image.properties below META-INF/native-image, and
// native-image obeys them as if they stood on its command line. The sandbox of a build holds whatever they ask
// for; that they may only ask for what concerns the image keeps them from changing the builder itself.

const (
	propertiesFolder = "META-INF/native-image/"
	propertiesName   = "native-image.properties"
	// largestProperties is far above what libraries ship, bytes.
	largestProperties = 1 << 20
)

// allowedOptions may stand in an archive, with any value.
var allowedOptions = set(`
	--add-exports --add-opens --add-reads --add-modules --enable-native-access --enable-preview --exclude-config
	--allow-incomplete-classpath --auto-fallback --configure-reflection-metadata --delay-class-initialization-to-runtime
	--enable-all-security-services --enable-http --enable-https --enable-monitoring --enable-url-protocols
	--exact-reachability-metadata --features --force-fallback --future-defaults --gc=serial --gc=epsilon
	--initialize-at-build-time --initialize-at-run-time --install-exit-handlers --link-at-build-time --no-fallback
	--report-unsupported-elements-at-runtime --rerun-class-initialization-at-runtime --silent --strict-image-heap
	--trace-class-initialization --trace-object-instantiation --verbose
	-O0 -O1 -O2 -O3 -Ob -Os -da -dsa -ea -esa -enableassertions -disableassertions -march
	-H:APIFunctionPrefix -H:AddExports -H:AddOpens -H:AddReads -H:AdditionalSecurityProviders -H:AdditionalSecurityServiceTypes
	-H:Class -H:ClassInitialization -H:ConfigurationResourceRoots -H:DefaultCharset -H:DefaultLocale
	-H:DynamicProxyConfigurationResources -H:EnableMonitoringFeatures -H:EnableNativeAccess -H:EnableURLProtocols
	-H:ExcludeResources -H:FallbackThreshold -H:Features -H:ForeignConfigurationResources -H:IncludeLocales
	-H:IncludeResourceBundles -H:IncludeResources -H:JNIConfigurationResources -H:LinkAtBuildTime -H:Log
	-H:MaxHeapSize -H:MinHeapSize -H:MaxNewSize -H:Optimize -H:PredefinedClassesConfigurationResources
	-H:ProxyConfigurationResources -H:ReachabilityMetadataResources -H:ReflectionConfigurationResources
	-H:ResourceConfigurationResources -H:SerializationConfigurationResources -H:SerializationDenyConfigurationResources
	-H:ServiceLoaderFeatureExcludeServiceProviders -H:ServiceLoaderFeatureExcludeServices -H:StackSize
	-H:SubstitutionResources -H:ThrowMissingRegistrationErrors -H:TraceClassInitialization -H:TraceObjectInstantiation`)

// apartOptions may have their value in a word of its own.
var apartOptions = set("--add-exports --add-opens --add-reads --add-modules --enable-native-access")

// allowedJVM may be told to the JVM that builds, and allowedSystem are system properties of the JDK among them.
var (
	allowedJVM    = set("--add-exports --add-opens --add-reads --add-modules --enable-native-access --enable-preview")
	allowedSystem = set("java.awt.headless java.net.preferIPv4Stack java.util.logging.manager")
)

// ownedSystem begin the system properties that say how the JVM, the JDK and the builder work.
var ownedSystem = []string{
	"java.", "javax.", "jdk.", "sun.", "com.sun.", "com.oracle.", "svm.", "substratevm.", "jvmci.", "graal", "org.graalvm.",
	"truffle.", "polyglot.", "native.", "user.", "os.", "file.", "path.", "line.", "cloudjit.",
}

// allowedKeys are the keys of a native-image.properties that matter to nothing but the image.
var allowedKeys = set("Args JavaArgs ImageName ForceOnModulePath ProvidedHostedOptions")

func set(words string) map[string]bool {
	m := map[string]bool{}
	for w := range strings.FieldsSeq(words) {
		m[w] = true
	}
	return m
}

// harms say what is wrong with options that are refused; the first that matches.
var harms = []struct {
	pattern *regexp.Regexp
	does    string
}{
	{regexp.MustCompile(`^(-J)?-(javaagent|agentlib|agentpath|Xrun|XX:OnError|XX:OnOutOfMemoryError|XX:Flags|XX:VMOptionsFile)|^--debug-attach`), "loads an agent into the builder, or lets it run commands"},
	{regexp.MustCompile(`^(-J)?(-cp|-classpath|--class-path|-p|--module-path|--upgrade-module-path|--patch-module|--limit-modules|-Xbootclasspath|-imagecp|-imagemp|-m|--module|-jar|--macro)\b`), "changes the builder's class path"},
	{regexp.MustCompile(`^(-H:(NativeLinkerOption|LinkerRPath|CLibraryPath|CCompiler|.*Library)|--native-compiler|--libc|--static|--shared|--target)`), "chooses the libraries and tools that the binary is linked with"},
	{regexp.MustCompile(`^(-H:(Path|Name|LogFile|.*Dump|.*Report|.*Directory|.*OutputJSONFile|DebugInfo|ImageBuild|Profiling)|-o$|--bundle|--diagnostics|--emit|--pgo)`), "writes files that are none of the build's"},
	{regexp.MustCompile(`^(-H:.*(Files?|Directories|Path|Paths)$|@|--bundle-apply)`), "reads files that are none of the archive's"},
	{regexp.MustCompile(`^(-J|-X|-D)`), "changes the JVM of the builder"},
	{regexp.MustCompile(`^(-E|--parallelism|-H:NumberOfThreads)`), "changes the builder's environment or limits"},
}

// refusal is an option of an archive that is not allowed.
type refusal struct{ option, does string }

// checkProperties returns what a native-image.properties must not say; nil if it is all right.
func checkProperties(content []byte) (*refusal, error) {
	loader := properties.Loader{Encoding: properties.UTF8, DisableExpansion: true}
	p, err := loader.LoadBytes(content)
	if err != nil {
		return nil, err
	}
	for _, key := range p.Keys() {
		value, _ := p.Get(key)
		if !allowedKeys[key] {
			return &refusal{key, "is no key that an archive may set"}, nil
		}
		var bad *refusal
		switch key {
		case "Args":
			bad = checkOptions(value)
		case "JavaArgs":
			for _, word := range words(value) {
				if bad == nil {
					bad = checkOption("-J" + word)
				}
			}
		}
		if bad != nil {
			return bad, nil
		}
	}
	return nil, nil
}

// words are what the builder's ways to cut a value into words could take for one: quotes only join what
// stands here on its own, and so is looked at on its own.
func words(value string) []string {
	return strings.Fields(strings.NewReplacer(`"`, "", `'`, "").Replace(value))
}

func checkOptions(args string) *refusal {
	list := words(args)
	for i := 0; i < len(list); i++ {
		if bad := checkOption(list[i]); bad != nil {
			return bad
		}
		following := 0
		switch {
		case apartOptions[list[i]]:
			following = 1
		case list[i] == "--exclude-config":
			following = 2
		}
		for range following {
			if i+1 < len(list) && !strings.HasPrefix(list[i+1], "-") {
				i++
			}
		}
	}
	return nil
}

// booleanOption is one that names nothing outside of the builder.
var booleanOption = regexp.MustCompile(`^-[HR]:[+-]\w+$`)

// runtimeOption is a default of the binary's own options.
var runtimeOption = regexp.MustCompile(`^-R:\w+$`)

func checkOption(word string) *refusal {
	name, value, _ := strings.Cut(word, "=")
	plain := name
	if strings.HasPrefix(name, "-H:") || strings.HasPrefix(name, "-R:") {
		plain, _, _ = strings.Cut(name, "@") // who gave it
	}
	switch {
	case strings.Contains(strings.ReplaceAll(word, "${.}", ""), "${"): // stands for something else
	case allowedOptions[word] || allowedOptions[plain]:
		return nil
	case booleanOption.MatchString(plain) && value == "":
		return nil
	case runtimeOption.MatchString(plain) && !strings.ContainsAny(value, "/\\"):
		return nil
	case strings.HasPrefix(name, "-ea:") || strings.HasPrefix(name, "-da:") || strings.HasPrefix(name, "-enableassertions:") || strings.HasPrefix(name, "-disableassertions:"):
		return nil
	case strings.HasPrefix(word, "-D") && allowedProperty(name[2:]), strings.HasPrefix(word, "-J-D") && allowedProperty(name[4:]):
		return nil
	case strings.HasPrefix(word, "-J") && allowedJVM[name[2:]]:
		return nil
	}
	for _, h := range harms {
		if h.pattern.MatchString(plain) {
			return &refusal{word, h.does}
		}
	}
	return &refusal{word, "is none of the options that an archive may set"}
}

func allowedProperty(name string) bool {
	return allowedSystem[name] || name != "" && !slices.ContainsFunc(ownedSystem, func(owned string) bool { return strings.HasPrefix(name, owned) })
}

// refuseOptions looks at every native-image.properties that a build could come upon in the files of an
// application: on the class path, or led to from there by manifests.
func refuseOptions(paths ...string) error {
	var refused error
	err := eachProperties(paths, func(where, name string, content []byte) {
		if refused != nil {
			return
		}
		bad, err := checkProperties(content)
		if err != nil {
			refused = &aot.Error{Class: aot.ClassUser, Reason: fmt.Sprintf("%s in %s cannot be read: %v", name, where, err), Err: err}
		}
		if bad != nil {
			refused = &aot.Error{
				Class: aot.ClassUser, Reason: fmt.Sprintf("the option %q of %s in %s is refused: it %s", shorten(bad.option), name, where, bad.does),
				Hint: "take it out; docs/builder.md has the options that an archive may set",
			}
		}
	})
	return errors.Join(refused, err)
}

// eachProperties visits the native-image.properties of archives and folders, in order, and of the archives
// in the folders. name is the file's in there, for --exclude-config.
func eachProperties(paths []string, visit func(where, name string, content []byte)) error {
	for _, p := range paths {
		info, err := os.Stat(p)
		if errors.Is(err, fs.ErrNotExist) {
			continue // as a JVM does
		}
		if err == nil && info.IsDir() {
			err = propertiesOfFolder(p, visit)
		} else if err == nil {
			err = propertiesOfArchive(p, visit)
		}
		if err != nil {
			return fmt.Errorf("look for %s: %w", propertiesName, err)
		}
	}
	return nil
}

func propertiesOfFolder(dir string, visit func(where, name string, content []byte)) error {
	return filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		name, err := filepath.Rel(dir, p)
		if err != nil {
			return err
		}
		if !isProperties(name) {
			return propertiesOfArchive(p, visit)
		}
		f, err := os.Open(p)
		if err != nil {
			return err
		}
		defer f.Close()
		content, err := readLimited(f, name)
		if err == nil {
			visit(filepath.Base(dir), name, content)
		}
		return err
	})
}

// propertiesOfArchive does nothing with what is no archive: a name says nothing, manifests may name any file.
func propertiesOfArchive(file string, visit func(where, name string, content []byte)) error {
	r, err := zip.OpenReader(file)
	if err != nil && !errors.Is(err, zip.ErrInsecurePath) {
		if errors.Is(err, zip.ErrFormat) || errors.Is(err, zip.ErrAlgorithm) || errors.Is(err, zip.ErrChecksum) {
			return nil
		}
		return err
	}
	defer r.Close()
	for _, f := range r.File {
		if !isProperties(f.Name) {
			continue
		}
		in, err := f.Open()
		if err != nil {
			return fmt.Errorf("%s: %s: %w", filepath.Base(file), f.Name, err)
		}
		content, err := readLimited(in, f.Name)
		in.Close()
		if err != nil {
			return fmt.Errorf("%s: %w", filepath.Base(file), err)
		}
		visit(filepath.Base(file), strings.TrimPrefix(f.Name, "/"), content)
	}
	return nil
}

func isProperties(name string) bool {
	name = path.Clean("/" + strings.ReplaceAll(name, `\`, "/"))
	return path.Base(name) == propertiesName && strings.Contains(name, "/"+propertiesFolder)
}

func readLimited(r io.Reader, name string) ([]byte, error) {
	content, err := io.ReadAll(io.LimitReader(r, largestProperties+1))
	if err == nil && len(content) > largestProperties {
		err = &aot.Error{Class: aot.ClassUser, Reason: fmt.Sprintf("%s has more than %d bytes", name, largestProperties)}
	}
	return content, err
}
