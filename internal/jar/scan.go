package jar

import (
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/cloudjit/cloudjit/internal/jar/classfile"
)

const (
	requestHandler = "com.amazonaws.services.lambda.runtime.RequestHandler"
	streamHandler  = "com.amazonaws.services.lambda.runtime.RequestStreamHandler"
)

// scan collects what the classes of an archive say.
type scan struct {
	info     *Info
	own      map[string]*classfile.Class // classes of the archive itself
	nested   []*nested
	resolved map[string]*verdict
}

// verdict is whether a class is a handler, itself or through its super types.
type verdict struct{ handler, stream bool }

func (s *scan) class(file string, b []byte) {
	name, ok := className(file)
	if !ok {
		return
	}
	c, err := classfile.Parse(b)
	if err != nil || c.Name != name {
		return // not a class that a JVM would load from there
	}
	s.info.Classes++
	s.info.JavaVersion = max(s.info.JavaVersion, c.JavaVersion())
	// Most classes are only ever asked for their super types; the rest is let go.
	if !c.HasMain() && !c.Constructible() {
		c.Methods = nil
	}
	c.Fields = nil
	s.own[name] = c
}

// sampleVersions looks at some of a library's classes: one compiler made all of them.
func (s *scan) sampleVersions(n *nested) {
	const samples = 16
	seen := 0
	for _, f := range n.zip.File {
		if _, ok := className(f.Name); !ok || f.UncompressedSize64 > largestSmallFile {
			continue
		}
		if v, err := classfile.Version(readSmall(f)); err == nil {
			s.info.JavaVersion = max(s.info.JavaVersion, classfile.JavaVersion(v))
		}
		if seen++; seen == samples {
			return
		}
	}
}

// find returns a class of the archive or of a JAR in it; nil for the JDK's and missing ones.
func (s *scan) find(name string) *classfile.Class {
	if c := s.own[name]; c != nil {
		return c
	}
	file := classFile(name)
	for _, n := range s.nested {
		if b := n.small(file); b != nil {
			if c, err := classfile.Parse(b); err == nil {
				return c
			}
		}
	}
	return nil
}

func (s *scan) resolve(name string) verdict {
	switch name {
	case requestHandler:
		return verdict{handler: true}
	case streamHandler:
		return verdict{handler: true, stream: true}
	case "", "java.lang.Object":
		return verdict{}
	}
	if v := s.resolved[name]; v != nil {
		return *v
	}
	v := &verdict{}
	s.resolved[name] = v // before the super types: a hostile hierarchy may have cycles
	c := s.find(name)
	if c == nil {
		return *v
	}
	for _, super := range append([]string{c.Super}, c.Interfaces...) {
		up := s.resolve(super)
		v.handler = v.handler || up.handler
		v.stream = v.stream || up.stream
	}
	return *v
}

func (s *scan) findHandlers() {
	for name, c := range s.own {
		if v := s.resolve(name); v.handler && c.Constructible() {
			s.info.Handlers = append(s.info.Handlers, Handler{Class: name, Stream: v.stream})
		}
	}
	// In a plain ZIP the application itself may be a JAR at the root.
	for _, n := range s.nested {
		if s.info.Layout != LayoutZip || strings.Contains(strings.TrimPrefix(n.name, s.info.prefix), "/") {
			continue
		}
		for _, f := range n.zip.File {
			name, ok := className(f.Name)
			if !ok {
				continue
			}
			if v := s.resolve(name); v.handler {
				if c := s.find(name); c != nil && c.Constructible() {
					s.info.Handlers = append(s.info.Handlers, Handler{Class: name, Stream: v.stream})
				}
			}
		}
	}
	slices.SortFunc(s.info.Handlers, func(x, y Handler) int {
		if lx, ly := isLibrary(x.Class), isLibrary(y.Class); lx != ly {
			return b2i(lx) - b2i(ly)
		}
		return strings.Compare(x.Class, y.Class)
	})
}

// libraryPrefixes are packages whose handlers serve other people's code when shaded in.
var libraryPrefixes = []string{
	"com.amazonaws.", "software.amazon.", "io.micronaut.", "io.quarkus.", "org.springframework.", "org.apache.", "org.http4k.", "com.googlecode.",
}

// adapters are the handlers that frameworks have for applications of theirs. The documentation of each says to name
// it: spring-cloud-function-adapter-aws, aws-serverless-java-container (Spring), quarkus-amazon-lambda, and
// micronaut-function-aws-api-proxy, which has one for each kind of event.
var adapters = []string{
	springAdapter,
	"com.amazonaws.serverless.proxy.spring.SpringDelegatingLambdaContainerHandler",
	"io.quarkus.amazon.lambda.runtime.QuarkusStreamHandler",
	"io.micronaut.function.aws.proxy.payload1.ApiGatewayProxyRequestEventFunction",
	"io.micronaut.function.aws.proxy.payload2.APIGatewayV2HTTPEventFunction",
}

// servers are classes of the HTTP servers that applications bring.
var servers = []string{
	"org.apache.catalina.startup.Tomcat", "org.eclipse.jetty.server.Server", "io.undertow.Undertow",
	reactorServer, "io.micronaut.http.server.netty.NettyHttpServer",
}

// spring-cloud-function-adapter-aws has a dependency on spring-boot-starter-webflux since 5.0, so that the server of
// that says nothing of an application that has the adapter.
const (
	springAdapter = "org.springframework.cloud.function.adapter.aws.FunctionInvoker"
	reactorServer = "reactor.netty.http.server.HttpServer"
)

func isLibrary(class string) bool {
	return slices.ContainsFunc(libraryPrefixes, func(p string) bool { return strings.HasPrefix(class, p) })
}

func (a *archive) findMain(info *Info, s *scan, m manifest, lim Limits) {
	declared := m.get("Start-Class")
	if declared == "" {
		declared = m.get("Main-Class")
	}
	switch {
	case info.Layout == LayoutProvided:
	case info.Layout == LayoutQuarkus:
		info.MainClass = "io.quarkus.runner.GeneratedMain"
		info.modules(a.nestedManifest(info.prefix+"quarkus-run.jar", lim))
	case declared != "" && s.find(declared) != nil:
		info.MainClass = declared
		info.modules(m)
	case info.Layout == LayoutZip:
		info.MainClass = s.mainOfNested()
	}
	if info.MainClass == "" && info.Layout != LayoutProvided {
		info.MainClass = s.onlyMain()
	}
}

// nestedManifest is the manifest of a JAR that is not on the class path; a damaged one says nothing.
func (a *archive) nestedManifest(name string, lim Limits) manifest {
	e := a.names[name]
	if e == nil {
		return nil
	}
	n, err := a.openNested(e, lim)
	if err != nil {
		return nil
	}
	return parseManifest(n.small("META-INF/MANIFEST.MF"))
}

// mainOfNested is the Main-Class of the one JAR that declares one, those at the root first.
func (s *scan) mainOfNested() string {
	for _, deep := range []bool{false, true} {
		var found []string
		var of manifest
		for _, n := range s.nested {
			if strings.Contains(strings.TrimPrefix(n.name, s.info.prefix), "/") != deep {
				continue
			}
			m := parseManifest(n.small("META-INF/MANIFEST.MF"))
			if c := m.get("Main-Class"); c != "" && s.find(c) != nil {
				found = append(found, c)
				of = m
			}
		}
		if len(found) == 1 {
			s.info.modules(of)
			return found[0]
		}
	}
	return ""
}

// onlyMain is the one class of the archive with a main method, if there is one and no more.
func (s *scan) onlyMain() string {
	found := ""
	for name, c := range s.own {
		if !c.HasMain() || isLibrary(name) {
			continue
		}
		if found != "" {
			return ""
		}
		found = name
	}
	return found
}

func (a *archive) findFramework(info *Info, s *scan) {
	has := func(class string) bool {
		file := classFile(class)
		if s.own[class] != nil || a.names[info.prefix+file] != nil {
			return true
		}
		return slices.ContainsFunc(s.nested, func(n *nested) bool { return n.files[file] != nil })
	}
	for _, class := range adapters {
		if has(class) {
			info.Adapters = append(info.Adapters, class)
		}
	}
	info.Server = slices.ContainsFunc(servers, func(class string) bool {
		return has(class) && (class != reactorServer || !slices.Contains(info.Adapters, springAdapter))
	})
	switch {
	case info.Layout == LayoutProvided:
	case has("io.quarkus.runner.ApplicationImpl") || info.Layout == LayoutQuarkus:
		info.Framework = FrameworkQuarkus
	case has("org.springframework.boot.SpringApplication"):
		info.Framework = FrameworkSpringBoot
	case has("io.micronaut.context.ApplicationContext"):
		info.Framework = FrameworkMicronaut
	}
}

// pom adds what a META-INF/maven/**/pom.properties says.
func (s *scan) pom(b []byte) bool {
	p := parseProperties(b)
	if p["artifactId"] == "" || p["version"] == "" {
		return false
	}
	s.info.Libraries = append(s.info.Libraries, Library{Group: p["groupId"], Artifact: p["artifactId"], Version: p["version"]})
	return true
}

var jarName = regexp.MustCompile(`^(.+?)-(\d[\w.+-]*)\.jar$`)

// libraries reads a nested JAR's own pom.properties, or what its file name says. Quarkus puts the
// group before the artifact in file names.
func (s *scan) libraries(n *nested) {
	known := false
	for name := range n.files {
		if strings.HasPrefix(name, "META-INF/maven/") && path.Base(name) == "pom.properties" {
			known = s.pom(n.small(name)) || known
		}
	}
	if m := jarName.FindStringSubmatch(path.Base(n.name)); !known && m != nil {
		s.info.Libraries = append(s.info.Libraries, Library{Artifact: m[1], Version: m[2]})
	}
}
