package nativeimage

import (
	"bytes"
	"strings"
	"testing"

	"github.com/cloudjit/cloudjit/internal/function"
)

// A library's Feature that assumes what the application does not have is left out; one that
// none of the application's archives switches on ends the build, once.
func TestFeatureThatFailsIsLeftOut(t *testing.T) {
	for name, tc := range map[string]struct{ properties, want string }{
		"of a library": {"Args = --features=org.x.MailFeature", "again without META-INF/native-image/org.x/mail/native-image.properties"},
		"of nobody":    {"Args = --features=org.x.Other", "Feature defined by org.x.MailFeature"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, "feature")
			req := request(t, map[string][]byte{
				"META-INF/MANIFEST.MF": []byte("Manifest-Version: 1.0\nMain-Class: shop.Main\n\n"),
				"shop/Main.class":      classNamed("shop/Main", "main"),
				"META-INF/native-image/org.x/mail/native-image.properties": []byte(tc.properties),
			}, function.Spec{Kind: function.KindWeb, MainClass: "shop.Main"})
			var log bytes.Buffer
			req.Log = &log
			_, err := f.Build(t.Context(), req)
			if (err == nil) != (name == "of a library") {
				t.Errorf("built: %v", err)
			}
			if !strings.Contains(log.String(), tc.want) {
				t.Errorf("%q is not in the log:\n%s", tc.want, log.String())
			}
			if n := strings.Count(log.String(), "mode feature"); err != nil && n != 1 {
				t.Errorf("tried %d times, want once", n)
			}
		})
	}
}
