package nativeimage

import (
	"bytes"
	"strings"

	"github.com/cloudjit/cloudjit/internal/jar"
)

// opensURLs reports whether the application can open http and https connections by
// java.net.URL. Binaries have these protocols only when told to: a program without them gets
// a MalformedURLException, which is no signal to deoptimize on, and one that has them in vain
// takes a third longer to build. So the names in all classes decide. (java.net.http.HttpClient
// and libraries with sockets of their own need nothing.)
func opensURLs(app []string) (bool, error) {
	cp, err := jar.OpenClassPath(app)
	if err != nil {
		return false, err
	}
	defer cp.Close()
	found := false
	cp.Each(func(class string, content []byte) bool {
		found = classOpensURLs(class, content)
		return !found
	})
	return found, nil
}

func classOpensURLs(class string, content []byte) bool {
	for _, name := range []string{"openConnection", "HttpURLConnection", "HttpsURLConnection"} {
		if bytes.Contains(content, []byte(name)) {
			return true
		}
	}
	// Jackson opens URLs that its callers hand over; what counts is whether one does.
	if strings.Contains(class, "com.fasterxml.jackson.") || strings.Contains(class, "tools.jackson.") {
		return false
	}
	return bytes.Contains(content, []byte("java/net/URL")) && bytes.Contains(content, []byte("openStream")) ||
		bytes.Contains(content, []byte("(Ljava/net/URL;Ljava/lang/Class;)"))
}
