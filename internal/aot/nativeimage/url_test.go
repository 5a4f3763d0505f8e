package nativeimage

import "testing"

func TestClassOpensURLs(t *testing.T) {
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
		if got := classOpensURLs(tt.class, []byte(tt.names)); got != tt.want {
			t.Errorf("%s with %q: got %v", tt.class, tt.names, got)
		}
	}
}
