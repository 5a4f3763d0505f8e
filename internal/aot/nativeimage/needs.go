package nativeimage

import (
	"bytes"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/cloudjit/cloudjit/internal/jar"
	"github.com/cloudjit/cloudjit/internal/jar/classfile"
)

// needs are what native-image leaves out unless told, and whose absence is no signal to
// deoptimize on: the program gets an ordinary exception, or silently another result. No tracer
// sees them either, so the names in the application's classes decide.
type needs struct {
	// urls: java.net.URL opens http and https. In vain it costs a third of the build.
	// (java.net.http.HttpClient and libraries with sockets of their own need nothing.)
	urls bool
	// locales whose formats and names are used, as -H:IncludeLocales takes them. Those that come
	// from outside, as from a request's headers, cannot be known.
	locales []string
}

func findNeeds(app []string) (needs, error) {
	cp, err := jar.OpenClassPath(app)
	if err != nil {
		return needs{}, err
	}
	defer cp.Close()
	var n needs
	tags := map[string]bool{}
	cp.Each(func(class string, content []byte) bool {
		n.urls = n.urls || opensURLs(class, content)
		namesLocales(content, tags)
		return true
	})
	n.locales = slices.Sorted(maps.Keys(tags))
	return n, nil
}

func opensURLs(class string, content []byte) bool {
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

// localeFields are the constants of java.util.Locale but for English, which every binary has.
var localeFields = map[string]string{
	"FRENCH": "fr", "GERMAN": "de", "ITALIAN": "it", "JAPANESE": "ja", "KOREAN": "ko", "CHINESE": "zh",
	"SIMPLIFIED_CHINESE": "zh-CN", "TRADITIONAL_CHINESE": "zh-TW",
	"FRANCE": "fr-FR", "GERMANY": "de-DE", "ITALY": "it-IT", "JAPAN": "ja-JP", "KOREA": "ko-KR", "CHINA": "zh-CN",
	"PRC": "zh-CN", "TAIWAN": "zh-TW", "CANADA_FRENCH": "fr-CA",
}

var languageTag = regexp.MustCompile(`^[a-z]{2}(-[A-Z]{2})?$`)

// namesLocales adds the locales that a class names: by a constant of Locale, or, where it makes
// locales of tags, by a string that is one.
func namesLocales(content []byte, tags map[string]bool) {
	if !bytes.Contains(content, []byte("java/util/Locale")) {
		return
	}
	fromTags := bytes.Contains(content, []byte("forLanguageTag"))
	classfile.Constants(content, func(text []byte) {
		if tag, ok := localeFields[string(text)]; ok {
			tags[tag] = true
		} else if fromTags && languageTag.Match(text) && !bytes.HasPrefix(text, []byte("en")) {
			tags[string(text)] = true
		}
	})
}
