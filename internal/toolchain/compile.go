package toolchain

import (
	"context"
	"debug/elf"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"sort"
	"strings"
	"sync/atomic"

	"golang.org/x/sync/errgroup"
)

// glueLibraries are the archives made of our own C files.
var glueLibraries = map[string][]string{
	"libchelper":    {"cpu.c", "helper.c", "locale.c", "signals.c"},
	"jvm":           {"jvm.c"},
	"svm_container": {"container.c"},
}

// compiler turns C sources into archives.
type compiler struct {
	jdk      string // home
	version  string // of that JDK, in full
	sources  string // the JDK's, unpacked
	glue     string // the c and include folders
	headers  string // JNI headers, by javac
	objects  string // scratch
	out      string // archives
	progress ProgressFunc
}

// run runs a command of the installation and gives the end of its output in the error.
func run(ctx context.Context, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	out, err := cmd.CombinedOutput()
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	const tail = 2000
	text := strings.TrimSpace(string(out))
	if len(text) > tail {
		text = "..." + text[len(text)-tail:]
	}
	return fmt.Errorf("%s: %w: %s", filepath.Base(name), err, text)
}

// jniHeaders lets javac write the headers for the Java sources that were unpacked.
func (c *compiler) jniHeaders(ctx context.Context) error {
	modules := []string{}
	for _, l := range jdkLibraries {
		if !slices.Contains(modules, l.module) {
			modules = append(modules, l.module)
		}
	}
	classes := filepath.Join(c.objects, "classes")
	for _, module := range modules {
		var roots, files []string
		for _, system := range systems {
			root := filepath.Join(c.sources, "src", module, system, "classes")
			if _, err := os.Stat(root); err != nil {
				continue
			}
			roots = append(roots, root)
			err := filepath.WalkDir(root, func(p string, d os.DirEntry, err error) error {
				if err == nil && !d.IsDir() && d.Name() != "module-info.java" && d.Name() != "package-info.java" {
					files = append(files, p)
				}
				return err
			})
			if err != nil {
				return err
			}
		}
		if len(files) == 0 {
			continue
		}
		list := filepath.Join(c.objects, module+".files")
		if err := os.WriteFile(list, []byte(strings.Join(files, "\n")), 0o644); err != nil {
			return err
		}
		c.progress.report("write JNI headers of "+module, 0, 0)
		err := run(ctx, filepath.Join(c.jdk, "bin", "javac"), "-nowarn", "-proc:none", "-XDignore.symbol.file",
			"-J-Xmx512m", "-J-XX:+UseSerialGC", "-J-XX:TieredStopAtLevel=1", "-d", classes, "-h", c.headers, "--patch-module", module+"="+strings.Join(roots, ":"), "@"+list)
		if err != nil {
			return fmt.Errorf("write JNI headers of %s: %w", module, err)
		}
	}
	return nil
}

var cFlags = []string{"-O2", "-fPIC", "-fvisibility=hidden", "-ffunction-sections", "-fdata-sections", "-w", "-pipe",
	"-DSTATIC_BUILD=1", "-D_GNU_SOURCE", "-D_REENTRANT", "-D_LARGEFILE64_SOURCE", "-DLINUX", "-D_LITTLE_ENDIAN", "-DNDEBUG",
	"-DARCH=\"amd64\"", "-DARCHPROPNAME=\"amd64\"", "-Damd64", "-D_LP64=1"}

// archives compiles every library, two files at a time or as many as there are processors.
func (c *compiler) archives(ctx context.Context) error {
	var units []unit
	for _, l := range jdkLibraries {
		u, err := libraryUnits(c.sources, l)
		if err != nil {
			return err
		}
		units = append(units, u...)
	}
	for name, files := range glueLibraries {
		for _, f := range files {
			units = append(units, unit{library: name, source: filepath.Join(c.glue, "c", f), include: []string{filepath.Join(c.glue, "include")}})
		}
	}
	// The JDK's own headers hold what its build generates: the constants of class files.
	jdk := filepath.Join(c.jdk, "include")
	shared := append(sharedIncludes(c.sources), c.headers, jdk, filepath.Join(jdk, "linux"))
	objects := make(map[string][]string)
	var done atomic.Int64
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(max(2, runtime.NumCPU()))
	for i, u := range units {
		object := filepath.Join(c.objects, fmt.Sprintf("%s-%d.o", u.library, i))
		objects[u.library] = append(objects[u.library], object)
		group.Go(func() error {
			args := append(slices.Clone(cFlags), "-DLIBRARY_NAME="+u.library, fmt.Sprintf("-DVERSION_STRING=%q", c.version))
			for _, dir := range append(slices.Clone(u.include), shared...) {
				args = append(args, "-I"+dir)
			}
			if err := run(groupCtx, "gcc", append(args, "-c", u.source, "-o", object)...); err != nil {
				return fmt.Errorf("compile %s: %w", filepath.Base(u.source), err)
			}
			c.progress.report("compile native libraries", done.Add(1), int64(len(units)))
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	stubs, err := c.stubs(ctx, objects)
	if err != nil {
		return err
	}
	objects["jvm"] = append(objects["jvm"], stubs)
	for name, files := range objects {
		if err := run(ctx, "ar", append([]string{"rcsD", filepath.Join(c.out, archiveName(name))}, files...)...); err != nil {
			return fmt.Errorf("archive lib%s: %w", name, err)
		}
	}
	return nil
}

// archiveName is the file of a library; libchelper has its prefix in its name already, and
// the linker's -llibchelper asks for it twice.
func archiveName(library string) string { return "lib" + library + ".a" }

// stubs compiles a function that names itself and aborts for each function of the JVM
// interface that the JDK's libraries refer to and nobody defines.
func (c *compiler) stubs(ctx context.Context, objects map[string][]string) (string, error) {
	missing := map[string]bool{}
	defined := map[string]bool{}
	for _, files := range objects {
		for _, file := range files {
			if err := jvmSymbols(file, missing, defined); err != nil {
				return "", fmt.Errorf("read symbols of %s: %w", filepath.Base(file), err)
			}
		}
	}
	names := []string{}
	for name := range missing {
		if !defined[name] {
			names = append(names, name)
		}
	}
	sort.Strings(names)
	var text strings.Builder
	text.WriteString("#include <stdio.h>\n#include <stdlib.h>\n")
	text.WriteString("static void absent(const char *name) {\n" +
		"    fprintf(stderr, \"%s is not there in a native image\\n\", name);\n    abort();\n}\n")
	for _, name := range names {
		fmt.Fprintf(&text, "void %s(void) { absent(%q); }\n", name, name)
	}
	source := filepath.Join(c.objects, "stubs.c")
	if err := os.WriteFile(source, []byte(text.String()), 0o644); err != nil {
		return "", err
	}
	object := filepath.Join(c.objects, "stubs.o")
	err := run(ctx, "gcc", "-O2", "-fPIC", "-ffunction-sections", "-c", source, "-o", object)
	return object, err
}

// jvmSymbols adds the JVM_ functions that an object file refers to and defines.
func jvmSymbols(file string, missing, defined map[string]bool) error {
	f, err := elf.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	symbols, err := f.Symbols()
	if err != nil {
		return err
	}
	for _, s := range symbols {
		if !strings.HasPrefix(s.Name, "JVM_") || elf.ST_BIND(s.Info) != elf.STB_GLOBAL {
			continue
		}
		if s.Section == elf.SHN_UNDEF {
			missing[s.Name] = true
		} else {
			defined[s.Name] = true
		}
	}
	return nil
}
