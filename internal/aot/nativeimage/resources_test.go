package nativeimage

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/cloudjit/cloudjit/internal/metadata"
	"github.com/cloudjit/cloudjit/internal/ziptest"
)

// TestMoreResources: the locales of a bundle and the files of a folder come with it, whatever was traced of them.
func TestMoreResources(t *testing.T) {
	files := map[string][]byte{}
	for _, name := range []string{"shop/Text.properties", "shop/Text_de.properties", "shop/Text_zh_Hant_TW.properties", "shop/Texts_de.properties",
		"shop/Words.class", "shop/Words_fr.class", "shop/Words_fr_CA.class", "shop/Words_x.class", "other/Text_de.properties",
		"data/a.txt", "data/deep/b.txt", "database/c.txt"} {
		files[name] = []byte("x")
	}
	for i := range mostFiles + 1 {
		files[fmt.Sprintf("all/f%d.class", i)] = []byte("x")
	}
	archive := filepath.Join(t.TempDir(), "a.jar")
	if err := os.WriteFile(archive, ziptest.OfMap(t, files), 0o644); err != nil {
		t.Fatal(err)
	}
	got, err := moreResources([]string{archive}, metadata.Of(
		metadata.Element{Kind: metadata.KindBundle, Name: "shop.Text"},
		metadata.Element{Kind: metadata.KindBundle, Name: "shop.Words"},
		metadata.Element{Kind: metadata.KindResource, Name: "data"},
		metadata.Element{Kind: metadata.KindResource, Name: "data/none/"},
		metadata.Element{Kind: metadata.KindResource, Name: "all/"},
		metadata.Element{Kind: metadata.KindResource, Name: "database/*"},
	))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range got.Elements() {
		names = append(names, string(e.Kind)+" "+e.Type+e.Name)
	}
	slices.Sort(names)
	want := []string{
		"method shop.Words_fr<init>()", "method shop.Words_fr_CA<init>()",
		"resource data/**", "resource shop/Text*.properties", "resource shop/Text_de.properties", "resource shop/Text_zh_Hant_TW.properties",
		"resource shop/Words*.properties", "type shop.Words_fr", "type shop.Words_fr_CA",
	}
	if !slices.Equal(names, want) {
		t.Errorf("got %q, want %q", names, want)
	}
	if got, err := moreResources([]string{archive}, metadata.Of(metadata.Element{Kind: metadata.KindType, Type: "data"})); err != nil || got.Len() != 0 {
		t.Errorf("of a type: %v, %v", got.Elements(), err)
	}
}
