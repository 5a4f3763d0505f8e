package toolchain

import (
	"bytes"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const echoSource = `
package cloudjit.builder;

public class Echo {
    public static void main(String[] arguments) {
        for (String argument : arguments) {
            System.out.print(argument + "\0");
        }
    }
}
`

// wordsSource prints what the driver makes of each file: words end with NUL, files with SOH.
const wordsSource = `
package cloudjit.builder;

public class WordsOf {
    public static void main(String[] files) {
        for (String file : files) {
            for (String word : Words.expand(java.util.List.of("@" + file))) {
                System.out.print(word + "\0");
            }
            System.out.print("\1");
        }
    }
}
`

// TestArgumentFilesAsTheLauncher holds the driver's argument files to those of the java
// launcher, whose rules GraalVM's command has too. Two oddities of the launcher are left out: it
// loses a word that a # stands in, and what is empty or open at the end of a file without a
// last line break.
func TestArgumentFilesAsTheLauncher(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("it starts fifty virtual machines")
	}
	madeDriverHome.Store(true)
	home, err := driverHome()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	driver := filepath.Join(home, "lib", "svm", "driver")
	compile(t, home, dir, driver, map[string]string{"Echo.java": echoSource, "WordsOf.java": wordsSource})
	texts := []string{
		"", " \n\t ", "a", "a b\tc\nd\re\ff", `"a b" 'c d'`, `a"b c"d'e f'g`, `""`, `'' ""`, `"it's" 'a "b"'`,
		`"a\nb\tc\rd\fe\\f\"g\'h\x"`, `a\nb \ c\\d`, "\"a\\\n   b\" c", "\"a\\\r\n   b\"", "\"open\nnext", "'open", "# all\na # rest\n #\n c d",
		"\"# none\" '#'", "a\r\nb\r\n", "\"a\\", "-H:X=\"y z\" -Dk=v", "ünï \"çödé\"", "\\", "\"\\\"\"", "#", "a\\\nb",
	}
	random := rand.New(rand.NewPCG(1, 2))
	for range 25 {
		text := make([]byte, random.IntN(14))
		for i := range text {
			text[i] = "ab \t\n\r\"'\\n"[random.IntN(10)]
		}
		texts = append(texts, string(text))
	}
	var files []string
	for i, text := range texts {
		file := filepath.Join(dir, string(rune('a'+i/26))+string(rune('a'+i%26))+".args")
		texts[i] = text + "\nz\n"
		if err := os.WriteFile(file, []byte(texts[i]), 0o644); err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
	}
	java := filepath.Join(home, "bin", "java")
	run := func(args ...string) string {
		var out, errs bytes.Buffer
		cmd := exec.CommandContext(t.Context(), java, append([]string{"-XX:TieredStopAtLevel=1", "-Xshare:auto", "-cp", dir + ":" + driver}, args...)...)
		cmd.Stdout, cmd.Stderr = &out, &errs
		if err := cmd.Run(); err != nil {
			t.Fatalf("%v\n%s", err, &errs)
		}
		return out.String()
	}
	got := strings.Split(run(append([]string{"cloudjit.builder.WordsOf"}, files...)...), "\x01")
	for i, file := range files {
		main := filepath.Join(dir, "main.args") // behind the main class the launcher expands no more
		if err := os.WriteFile(main, []byte("cloudjit.builder.Echo\n"+texts[i]), 0o644); err != nil {
			t.Fatal(err)
		}
		if want := run("@" + main); got[i] != want {
			t.Errorf("%s: %q: the driver has %q, the launcher %q", filepath.Base(file), texts[i], got[i], want)
		}
	}
}

// compile puts classes of the driver's package into dir.
func compile(t *testing.T, home, dir, classPath string, sources map[string]string) {
	t.Helper()
	args := []string{"-J-XX:TieredStopAtLevel=1", "-d", dir, "-cp", classPath}
	for name, text := range sources {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		args = append(args, file)
	}
	if out, err := exec.CommandContext(t.Context(), filepath.Join(home, "bin", "javac"), args...).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}
