package nativeimage

import (
	"encoding/binary"
	"maps"
	"slices"
	"testing"
)

func TestOpensURLs(t *testing.T) {
	for _, tt := range []struct {
		class, names string
		want         bool
	}{
		{"shop.Main", "java/lang/System", false},
		{"shop.Main", "java/net/URL openConnection", true},
		{"shop.Main", "javax/net/ssl/HttpsURLConnection", true},
		{"shop.Main", "java/net/URL openStream", true},
		{"shop.Main", "com/acme/Store openStream", false},
		{"com.fasterxml.jackson.core.TokenStreamFactory", "java/net/URL openStream", false},
		{"shop.Main", "readValue (Ljava/net/URL;Ljava/lang/Class;)Ljava/lang/Object;", true},
	} {
		if got := opensURLs(tt.class, []byte(tt.names)); got != tt.want {
			t.Errorf("%s with %q: got %v", tt.class, tt.names, got)
		}
	}
}

// constants is the begin of a class file with these texts in its pool.
func constants(texts ...string) []byte {
	b := []byte{0xCA, 0xFE, 0xBA, 0xBE, 0, 0, 0, 61}
	b = binary.BigEndian.AppendUint16(b, uint16(len(texts)+1))
	for _, text := range texts {
		b = append(b, 1)
		b = binary.BigEndian.AppendUint16(b, uint16(len(text)))
		b = append(b, text...)
	}
	return b
}

func TestNamesLocales(t *testing.T) {
	for _, tt := range []struct {
		class []byte
		want  []string
	}{
		{constants("java/util/Locale", "GERMANY", "ENGLISH"), []string{"de-DE"}},
		{constants("java/util/Locale", "forLanguageTag", "fr-CA", "pt", "en-GB", "size", "ok", "by-ID", "xx-DE"), []string{"fr-CA", "pt"}},
		{constants("java/util/Locale", "fr"), nil},
		{constants("shop/Country", "GERMANY"), nil},
	} {
		tags := map[string]bool{}
		namesLocales(tt.class, tags)
		if got := slices.Sorted(maps.Keys(tags)); !slices.Equal(got, tt.want) {
			t.Errorf("got %q, want %q", got, tt.want)
		}
	}
}

// TestNeedsOfTheEnvironment: the default locale and assertions that a function's owner chose are there in its binary.
func TestNeedsOfTheEnvironment(t *testing.T) {
	for options, want := range map[string]string{
		"":                                                  "",
		"-Dmy.flag=on -Duser.language=de":                   "de",
		"-Duser.country=AT\t-Duser.language=de":             "de-AT",
		"-Duser.language=de -Duser.region=CH":               "de-CH",
		"-Duser.language=zh -Duser.script=Hant":             "zh-Hant",
		"'-Duser.language=pt' \"-Duser.country=\"BR":        "pt-BR",
		"-Duser.language=../x":                              "",
		"-Duser.country=AT":                                 "",
		"-Duser.language=de,-H:X":                           "",
		"-XX:+UseSerialGC -Xmx1g -Duser.language.x=de":      "",
		"-Duser.language=de -ea:shop... -esa -Xlog:disable": "de",
	} {
		if got := configuredLocale(map[string]string{"JAVA_TOOL_OPTIONS": options}); got != want {
			t.Errorf("%s: got %q, want %q", options, got, want)
		}
	}
	if got := assertions(map[string]string{"JAVA_TOOL_OPTIONS": "-ea:shop... -Dx=-da -esa -ea:a,b -eax"}); !slices.Equal(got, []string{"-ea:shop...", "-esa"}) {
		t.Errorf("assertions: %q", got)
	}
	n := needs{locales: []string{"de", "fr"}}
	for _, tag := range []string{"", "de", "ja", "de-AT"} {
		n.addLocale(tag)
	}
	if want := []string{"de", "de-AT", "fr", "ja"}; !slices.Equal(n.locales, want) {
		t.Errorf("got %q, want %q", n.locales, want)
	}
}

func TestNamesProviders(t *testing.T) {
	for _, tt := range []struct {
		class []byte
		want  int
	}{
		{constants("java/security/MessageDigest"), 0},
		{constants("java/security/Security", "getProvider"), 0},
		{constants("java/security/Security", "getProviders"), len(securityProviders)},
		{constants("javax/security/sasl/Sasl"), 2},
		{constants("javax/xml/crypto/dsig/XMLSignatureFactory"), 1},
	} {
		providers := map[string]bool{}
		namesProviders(tt.class, providers)
		if len(providers) != tt.want {
			t.Errorf("%q: got %d providers", tt.class, len(providers))
		}
	}
}
