package metadata

import (
	"slices"
	"testing"
)

func TestParseLack(t *testing.T) {
	for name, tt := range map[string]struct {
		output, what string
		never        bool
		types        []string
	}{
		"a class defined at run time": {
			"START\n" + LackMark + "unsupported] Classes cannot be defined at runtime by default\n   at a.B.c(B.java:1)\n",
			"Classes cannot be defined at runtime by default", true, nil,
		},
		"a protocol is learnt":         {LackMark + "protocol] http\n", "the URL protocol http", false, []string{ProtocolType("http")}},
		"a protocol that is no name":   {LackMark + "protocol] ../x\n", "../x", true, nil},
		"the last of several":          {LackMark + "unsupported] one\n" + LackMark + "unsupported] two\n", "two", true, nil},
		"nothing is said of what":      {LackMark + "unsupported] \n", "", true, nil},
		"after what had no line break": {"half a line" + LackMark + "unsupported] x\n", "x", true, nil},
		"cut off at its end":           {LackMark + "unsupported] Classes cann", "Classes cann", true, nil},
		"a kind of a later version's":  {LackMark + "later] x", "x", true, nil},
	} {
		got, ok := ParseLack(tt.output)
		var types []string
		for _, e := range got.Set.Elements() {
			types = append(types, e.Type)
		}
		if !ok || got.What != tt.what || got.Never != tt.never || !slices.Equal(types, tt.types) {
			t.Errorf("%s: got %+v %v, types %q", name, got, ok, types)
		}
	}
	for _, output := range []string{"", "a native binary cannot", LackMark} {
		if got, ok := ParseLack(output); ok {
			t.Errorf("%q: got %+v", output, got)
		}
	}
}

func FuzzParseLack(f *testing.F) {
	f.Add(LackMark + "unsupported] Classes cannot be defined")
	f.Add(LackMark + "protocol] http")
	f.Fuzz(func(t *testing.T, output string) {
		got, ok := ParseLack(output)
		if ok && !got.Never && got.Set.Len() == 0 {
			t.Errorf("%q teaches nothing and may be built again: %+v", output, got)
		}
		if _, err := Parse(got.Set.JSON()); err != nil {
			t.Errorf("%q makes metadata that cannot be read: %v", output, err)
		}
	})
}

func TestLocaleOf(t *testing.T) {
	for typ, want := range map[string]string{
		"sun.text.resources.cldr.ext.FormatData_de":       "de",
		"sun.text.resources.cldr.ext.FormatData_de_AT":    "de-AT",
		"sun.util.resources.cldr.ext.CurrencyNames_sr":    "sr",
		"sun.text.resources.cldr.ext.FormatData_zh_Hant":  "zh-Hant",
		"sun.util.resources.cldr.ext.TimeZoneNames_pt_PT": "pt-PT",
		"sun.util.resources.cldr.provider.CLDRLocaleData": "",
		"sun.text.resources.cldr.FormatData":              "",
		"shop.FormatData_de":                              "",
	} {
		if got, ok := LocaleOf(typ); got != want || ok != (want != "") {
			t.Errorf("%s: got %q %v, want %q", typ, got, ok, want)
		}
	}
	if tag, ok := LocaleOf(LocaleType("de-AT")); !ok || tag != "de-AT" {
		t.Errorf("the type of de-AT is of %q", tag)
	}
}
