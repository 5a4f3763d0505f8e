package nativeimage

import (
	"bytes"
	"cmp"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/cloudjit/cloudjit/internal/jar"
	"github.com/cloudjit/cloudjit/internal/jar/classfile"
	"github.com/cloudjit/cloudjit/internal/launch"
	"github.com/cloudjit/cloudjit/internal/metadata"
)

// needs are what native-image leaves out unless told. Its absence is no missing metadata: the program
// gets an ordinary exception, or silently another result, unless the builder was patched (patch). So the names in the
// application's classes decide, what its environment asks for, and what was traced or learnt.
type needs struct {
	// urls: java.net.URL knows http and https. In vain it costs a third of the build.
	// (java.net.http.HttpClient and libraries with sockets of their own need nothing.)
	urls bool
	// locales whose formats and names are used, as -H:IncludeLocales takes them, in order. Those that come
	// from outside, as from a request's headers, are learnt.
	locales []string
	// providers of the JDK's security that native-image leaves out, in order. All seven add 9 MB.
	providers []string
}

// findNeeds looks at an application's classes and at the metadata of its image.
func findNeeds(app []string, sets []*metadata.Set) (needs, error) {
	cp, err := jar.OpenClassPath(app)
	if err != nil {
		return needs{}, err
	}
	defer cp.Close()
	var n needs
	tags, providers := map[string]bool{}, map[string]bool{}
	cp.Each(func(class string, content []byte) bool {
		n.urls = n.urls || opensURLs(class, content)
		namesLocales(content, tags)
		namesProviders(content, providers)
		return true
	})
	for _, set := range sets {
		for _, e := range set.Elements() {
			if e.Kind != metadata.KindType {
				continue
			}
			n.urls = n.urls || e.Type == metadata.ProtocolType("http") || e.Type == metadata.ProtocolType("https")
			if tag, ok := metadata.LocaleOf(e.Type); ok {
				tags[tag] = true
			}
		}
	}
	n.locales, n.providers = slices.Sorted(maps.Keys(tags)), slices.Sorted(maps.Keys(providers))
	return n, nil
}

// protocols are those of URLs that the image knows. All but http and https cost nothing that can be measured.
func (n *needs) protocols() []string {
	p := []string{"ftp", "jar", "jmod", "jrt", "mailto"}
	if n.urls {
		p = append(p, "http", "https")
	}
	return p
}

// addLocale adds the tag of one more locale, if it is not empty.
func (n *needs) addLocale(tag string) {
	if at, found := slices.BinarySearch(n.locales, tag); !found && tag != "" {
		n.locales = slices.Insert(n.locales, at, tag)
	}
}

// configuredLocale is the tag of the default locale that a function's owner chose; empty: the platform's.
func configuredLocale(environment map[string]string) string {
	set := map[string]string{}
	for _, option := range launch.ToolOptions(environment) {
		if name, value, ok := strings.Cut(option, "="); ok {
			set[strings.TrimPrefix(name, "-Duser.")] = value
		}
	}
	tag := set["language"]
	if !languagePart.MatchString(tag) {
		return ""
	}
	for _, part := range []string{set["script"], cmp.Or(set["country"], set["region"])} {
		if languagePart.MatchString(part) {
			tag += "-" + part
		}
	}
	return tag
}

var languagePart = regexp.MustCompile(`^[A-Za-z0-9]{2,8}$`)

// assertions are the options about assertions that a function's owner chose: a binary has them, or not, once and for all.
func assertions(environment map[string]string) []string {
	var out []string
	for _, option := range launch.ToolOptions(environment) {
		if assertionOption.MatchString(option) {
			out = append(out, option)
		}
	}
	return out
}

var assertionOption = regexp.MustCompile(`^-(ea|da|esa|dsa|enableassertions|disableassertions|enablesystemassertions|disablesystemassertions)(:[\w.$]+)?$`)

// securityProviders are the JDK's that native-image leaves out, and the names in classes by which programs come to them.
var securityProviders = []struct {
	provider string
	names    []string
}{
	{"com.sun.security.sasl.Provider", []string{"javax/security/sasl/"}},
	{"com.sun.security.sasl.gsskerb.JdkSASL", []string{"javax/security/sasl/"}},
	{"org.jcp.xml.dsig.internal.dom.XMLDSigRI", []string{"javax/xml/crypto/"}},
	{"sun.security.jgss.SunProvider", []string{"org/ietf/jgss/"}},
	{"sun.security.pkcs11.SunPKCS11", []string{"SunPKCS11"}},
	{"sun.security.provider.certpath.ldap.JdkLDAP", []string{"java/security/cert/LDAPCertStoreParameters"}},
	{"sun.security.smartcardio.SunPCSC", []string{"javax/smartcardio/"}},
}

// namesProviders adds the providers that a class may come to; all of them where it lists what there is.
func namesProviders(content []byte, providers map[string]bool) {
	lists := bytes.Contains(content, []byte("java/security/Security")) && bytes.Contains(content, []byte("getProviders"))
	for _, p := range securityProviders {
		for _, name := range p.names {
			if lists || bytes.Contains(content, []byte(name)) {
				providers[p.provider] = true
			}
		}
	}
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

// languages are those of two letters that JDK 25 has locales of (Locale.getAvailableLocales): not each word of two letters
// is one.
var languages = strings.Fields("af ak am ar as az be bg bm bn bo br bs ca ce cs cv cy da de dz ee el en eo es et eu fa ff fi fo fr fy ga gd gl " +
	"gu gv ha he hi hr ht hu hy ia id ie ig ii is it ja jv ka ki kk kl km kn ko ks ku kw ky lb lg ln lo lt lu lv mg " +
	"mi mk ml mn mr ms mt my nb nd ne nl nn no oc om or os pa pl ps pt qu rm rn ro ru rw sa sc sd se sg si sk sl sn " +
	"so sq sr st su sv sw ta te tg th ti tk tn to tr tt ug uk ur uz vi wo xh yi yo za zh zu")

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
		} else if fromTags && languageTag.Match(text) && !bytes.HasPrefix(text, []byte("en")) && slices.Contains(languages, string(text[:2])) {
			tags[string(text)] = true
		}
	})
}
