package nativeimage

import (
	"regexp"
	"strings"

	"github.com/cloudjit/cloudjit/internal/jar"
	"github.com/cloudjit/cloudjit/internal/metadata"
)

// mostAdded bounds what moreResources adds, mostFiles how many files a folder may have, with all below: whoever asks for
// the folder of all classes wants to see what they are, and a binary does not hold them.
const (
	mostAdded = 20_000
	mostFiles = 2000
)

// moreResources returns what comes with what was traced: all locales of a resource bundle, not only those that
// somebody has asked for, and all that lies in a folder that the program looked for itself. Without, a bundle
// answers with its root, and a folder seems to hold the traced files alone; neither is a signal.
func moreResources(app []string, set *metadata.Set) (*metadata.Set, error) {
	bundles, folders := map[string]bool{}, map[string]bool{}
	for _, e := range set.Elements() {
		switch {
		case e.Kind == metadata.KindBundle && e.Module == "":
			bundles[strings.ReplaceAll(e.Name, ".", "/")] = true
		case e.Kind == metadata.KindResource && e.Module == "" && plainName.MatchString(e.Name):
			folders[strings.TrimSuffix(e.Name, "/")] = true
		}
	}
	if len(bundles)+len(folders) == 0 {
		return nil, nil
	}
	cp, err := jar.OpenClassPath(app)
	if err != nil {
		return nil, err
	}
	defer cp.Close()
	var more []metadata.Element
	add := func(e metadata.Element) {
		if len(more) < mostAdded {
			more = append(more, e)
		}
	}
	files := map[string]int{}
	cp.Names(func(name string) {
		if m := localized.FindStringSubmatch(name); m != nil && bundles[m[1]] {
			if m[2] == ".properties" {
				add(metadata.Element{Kind: metadata.KindResource, Name: name})
			} else if typ := strings.ReplaceAll(strings.TrimSuffix(name, ".class"), "/", "."); typ != "" {
				add(metadata.Element{Kind: metadata.KindType, Type: typ})
				add(metadata.Element{Kind: metadata.KindMethod, Type: typ, Name: "<init>()"})
			}
		}
		for dir := name; ; {
			slash := strings.LastIndexByte(dir, '/')
			if slash < 0 {
				return
			}
			if dir = dir[:slash]; folders[dir] {
				files[dir]++
			}
		}
	})
	for dir, n := range files {
		if n <= mostFiles {
			add(metadata.Element{Kind: metadata.KindResource, Name: dir + "/**"})
		}
	}
	// A locale that the bundle does not have is looked for too, and not found.
	for b := range bundles {
		if plainName.MatchString(b) {
			add(metadata.Element{Kind: metadata.KindResource, Name: b + "*.properties"})
		}
	}
	return metadata.Of(more...), nil
}

// localized is a file of a bundle for some locale: its base name, and which kind of bundle it is.
var localized = regexp.MustCompile(`^(.+?)(?:_[a-z]{2,8}(?:_[A-Za-z]{4})?(?:_(?:[A-Z]{2}|[0-9]{3}))?(?:_\w+)?)(\.properties|\.class)$`)

// plainName is that of a resource, and no pattern.
var plainName = regexp.MustCompile(`^[^*\\]+$`)
