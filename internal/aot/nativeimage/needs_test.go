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
		{constants("java/util/Locale", "forLanguageTag", "fr-CA", "pt", "en-GB", "size"), []string{"fr-CA", "pt"}},
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
