package nativeimage

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cloudjit/cloudjit/internal/aot"
	"github.com/cloudjit/cloudjit/internal/ladder"
	"github.com/cloudjit/cloudjit/internal/ziptest"
)

// smallProfile is the example of the format's documentation, cut down.
const smallProfile = `{"version":"1.0.0","types":[{"id":0,"name":"int"},{"id":1,"name":"Fib"}],
"methods":[{"id":0,"name":"fibonacci","signature":[1,0]}],
"callCountProfiles":[{"ctx":"0:0","records":[10]}],"conditionalProfiles":[{"ctx":"0:5","records":[7,0,90,12,1,10]}]}`

// profiledRequest asks for a binary that is made with profiles of the given contents.
func profiledRequest(t *testing.T, docs ...string) *aot.Request {
	t.Helper()
	req := handlerRequest(t)
	req.Rung.Options = ladder.OptionsProfiled
	for _, doc := range docs {
		file := filepath.Join(t.TempDir(), "app.iprof")
		if err := os.WriteFile(file, []byte(doc), 0o600); err != nil {
			t.Fatal(err)
		}
		req.Recording.Also = append(req.Recording.Also, file)
	}
	return req
}

// TestProfiledBuilds: the binary that takes a profile and the one that is made with it have the optimized one's options, and
// what the profiles say is a part of the key.
func TestProfiledBuilds(t *testing.T) {
	f := newFixture(t, "build")
	line := func(req *aot.Request) (aot.Key, []string) {
		t.Helper()
		res, err := f.Build(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(filepath.Join(res.Dir, binaryName+".args.so"))
		if err != nil {
			t.Fatal(err)
		}
		args := strings.Split(string(b), "\n")
		for _, option := range f.opts.Optimize {
			if !slices.Contains(args, option) {
				t.Errorf("%s: no %s", req.Rung.Options, option)
			}
		}
		return res.Key, args
	}
	instrumented := handlerRequest(t)
	instrumented.Rung.Options = ladder.OptionsInstrumented
	if _, args := line(instrumented); !slices.Contains(args, "--pgo-instrument") || !slices.Contains(args, "--exact-reachability-metadata") {
		t.Errorf("it is instrumented by %q", args)
	}
	other := strings.Replace(smallProfile, "10", "11", 1)
	first, args := line(profiledRequest(t, smallProfile, other))
	i := slices.IndexFunc(args, func(a string) bool { return strings.HasPrefix(a, "--pgo=") })
	if i < 0 || strings.Count(args[i], ".iprof") != 2 || strings.Count(args[i], ",") != 1 {
		t.Errorf("it is made by %q", args)
	}
	keys := map[aot.Key]bool{first: true}
	for _, req := range []*aot.Request{profiledRequest(t, smallProfile), profiledRequest(t, other), instrumented, handlerRequest(t)} {
		key, err := f.Key(req)
		if err != nil || keys[key] {
			t.Errorf("%s %q has key %s again, %v", req.Rung.Options, req.Recording.Also, key, err)
		}
		keys[key] = true
	}
	if again, _ := f.Key(profiledRequest(t, smallProfile, other)); again != first {
		t.Errorf("the same profiles elsewhere have another key")
	}
}

// TestProfilesFail: a profile that is none, or that the builder makes nothing of, is the recording's fault, so that another one is
// taken; a full disk is not.
func TestProfilesFail(t *testing.T) {
	for _, tt := range []struct {
		mode string
		docs []string
		want aot.Class
	}{
		{"build", nil, aot.ClassMetadata},
		{"build", []string{"not a profile"}, aot.ClassMetadata},
		{"crash", []string{smallProfile}, aot.ClassMetadata},
		{"disk", []string{smallProfile}, aot.ClassTool},
		{"linker", []string{smallProfile}, aot.ClassTool},
	} {
		f := newFixture(t, tt.mode)
		_, err := f.Build(t.Context(), profiledRequest(t, tt.docs...))
		var failed *aot.Error
		if !errors.As(err, &failed) || failed.Class != tt.want {
			t.Errorf("%s with %q: %v, want %s", tt.mode, tt.docs, err, tt.want)
		}
	}
}

// TestMakes: only a builder that takes profiles makes what needs them; one with our inliner needs no binary that takes any.
func TestMakes(t *testing.T) {
	for _, tt := range []struct {
		opts                   Options
		instrumented, profiled bool
	}{
		{Options{}, false, false},
		{Options{Profiles: true}, true, true},
		{Options{Inlines: true, Image: "image.jar"}, false, true},
		{Options{Inlines: true}, false, false},
		{Options{Profiles: true, Inlines: true, Image: "image.jar"}, true, true},
	} {
		b := &Builder{opts: tt.opts}
		for options, want := range map[string]bool{"quick": true, levelOptimized: true, ladder.OptionsInstrumented: tt.instrumented, ladder.OptionsProfiled: tt.profiled} {
			if got := b.Makes(&ladder.Rung{Options: options}); got != want {
				t.Errorf("with %+v it makes %s: %t", tt.opts, options, got)
			}
		}
	}
}

// TestInlining: profiles of HotSpot's become one, which our part of the builder reads; a binary's profile is refused there, and a
// build without the patches has none.
func TestInlining(t *testing.T) {
	const a, b = "cloudjit-profile 1\nmethod A m ()V hot\ncall 3 inlined 5 class B 5\n", "cloudjit-profile 1\nmethod A m ()V cold\ncall 3 called 1\n"
	for _, tt := range []struct {
		name  string
		mode  string
		patch bool
		docs  []string
		want  aot.Class // of the failure
		says  string
	}{
		{"two", "", true, []string{a, b}, "", "2 profiles of HotSpot's, 1 methods, 1 of them hot"},
		{"of another builder", "", true, []string{smallProfile}, aot.ClassMetadata, ""},
		{"changed", "", true, []string{a + "x"}, aot.ClassMetadata, ""},
		{"not patched", "", false, []string{a}, aot.ClassTool, ""},
		{"it fails by them", "patched", true, []string{a}, aot.ClassMetadata, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFixture(t, tt.mode)
			f.opts.Image, f.opts.Patch, f.opts.Inlines = filepath.Join(t.TempDir(), "image.jar"), tt.patch, true
			if err := os.WriteFile(f.opts.Image, ziptest.OfMap(t, map[string][]byte{"x": nil}), 0o644); err != nil {
				t.Fatal(err)
			}
			var log bytes.Buffer
			req := profiledRequest(t, tt.docs...)
			req.Log = &log
			r, err := f.Build(t.Context(), req)
			var failed *aot.Error
			if tt.want != "" {
				if !errors.As(err, &failed) || failed.Class != tt.want {
					t.Errorf("%v, want %s", err, tt.want)
				}
				return
			}
			if err != nil || !strings.Contains(log.String(), tt.says) {
				t.Fatalf("%v, want %q in\n%s", err, tt.says, log.String())
			}
			args, err := os.ReadFile(filepath.Join(r.Dir, binaryName+".args.so"))
			if err != nil || strings.Contains(string(args), "--pgo") || !strings.Contains(string(args), "--features="+inliner) || !strings.Contains(string(args), "-J-Ddev.cloudjit.profile=") ||
				!slices.Contains(strings.Split(string(args), "\n"), Optimized[0]) || strings.Contains(string(args), Optimized[1]) {
				t.Errorf("%v: %s", err, args)
			}
		})
	}
}

// TestCheckProfile: what no builder could read is refused, and says why.
func TestCheckProfile(t *testing.T) {
	for _, tt := range []struct{ doc, want string }{
		{smallProfile, ""},
		{`{"version":"1.1.0","types":[],"methods":[{}],"more":{"a":[1,{"b":null}]}}`, ""},
		{``, "no JSON object"},
		{`[]`, "no JSON object"},
		{"cloudjit-profile 1\nmethod A m ()V hot\n", ""},
		{"cloudjit-profile 2\n", "first line"},
		{"cloudjit-profile 1\nmethod A m\n", "line 2"},
		{"\x7fELF", "no JSON object"},
		{`{"version":"2.0.0","types":[],"methods":[{}]}`, "its version"},
		{`{"version":1,"types":[],"methods":[{}]}`, "its version"},
		{`{"version":"1.0.0","types":[],"methods":[]}`, "no method"},
		{`{"version":"1.0.0","types":{},"methods":[{}]}`, "no list"},
		{`{"version":"1.0.0","types":[]}`, "it has no methods"},
		{`{"version":"1.0.0","version":"1.0.0"}`, "twice"},
		{smallProfile[:len(smallProfile)-20], "ends in the middle"},
		{smallProfile + "{}", "follows"},
		{`{"a":` + strings.Repeat("[", 100_000), "nested"},
		{`{"version":"1.0.0","types":[x]}`, "no JSON"},
	} {
		if err := checkProfile(strings.NewReader(tt.doc)); (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%.60q: %v, want %q", tt.doc, err, tt.want)
		}
	}
	dir := t.TempDir()
	large := filepath.Join(dir, "large")
	if err := errors.Join(os.WriteFile(large, nil, 0o600), os.Truncate(large, MaxProfile+1)); err != nil {
		t.Fatal(err)
	}
	if err := CheckProfile(large); err == nil || !strings.Contains(err.Error(), "MB at most") {
		t.Errorf("one that is too large: %v", err)
	}
	if err := CheckProfile(dir); err == nil {
		t.Error("a folder is a profile")
	}
}

// FuzzProfile: nothing that a function writes there does harm.
func FuzzProfile(f *testing.F) {
	for _, doc := range []string{smallProfile, `{"version":"1.0.0"`, `{"methods":[[[[`, `{"a":"\ud800"}`, `{"version":"1.0.0","types":[],"methods":[1e999]}`} {
		f.Add(doc)
	}
	f.Fuzz(func(t *testing.T, doc string) {
		if err := checkProfile(strings.NewReader(doc)); err != nil && len(err.Error()) > 1000 {
			t.Errorf("an error of %d bytes", len(err.Error()))
		}
	})
}
