package nativeimage

import (
	"regexp"

	"github.com/cloudjit/cloudjit/internal/aot/metarepo"
)

// exclusion is a file of native-image configuration in the application that must not be used.
// Both are regular expressions, as --exclude-config takes them: over the path of the JAR or
// folder, and over the name of the file in it.
type exclusion struct {
	jars, resources string
}

// knownBad are files that break builds, whoever ships them. They are named by their place in
// the archive and not by their JAR's name, so that shaded applications are covered.
var knownBad = []exclusion{
	// "--initialize-at-build-time=io.netty" puts buffers, threads and method handles into the image
	// heap, which JDK 25 refuses; without it Netty is initialized at run time, as on HotSpot.
	{jars: ".*", resources: `/META-INF/native-image/io\.netty/netty-codec-http2?/native-image\.properties`},
}

// overridden leaves out what a library's own JAR says where the community's metadata replaces it.
func overridden(e metarepo.Entry) exclusion {
	group, artifact := splitModule(e.Module)
	return exclusion{
		jars:      ".*",
		resources: "/META-INF/native-image/" + regexp.QuoteMeta(group) + "/" + regexp.QuoteMeta(artifact) + "/.*",
	}
}
