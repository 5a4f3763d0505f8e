package cloudjit.builder;

import java.io.IOException;
import java.io.Reader;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.Properties;

/** What the command says about itself. */
final class Help {
    private static final String USAGE = """
            Usage: native-image [options] <main class> [image name]
               or  native-image [options] -jar <file> [image name]
               or  native-image [options] -m <module>[/<main class>] [image name]

            Makes a native executable of a Java program.

                @<file>                 read arguments from a file
                -cp, -classpath, --class-path <path>
                                        where the classes of the program are
                -p, --module-path <path>
                                        where the modules of the program are
                -m, --module <module>[/<main class>]
                -jar <file>             take main class and class path from a JAR
                --add-modules, --limit-modules <modules>
                --enable-preview        allow preview features of the language and the JDK
                --exclude-config <entry> <resource>
                                        leave out matching resources below META-INF/native-image of matching
                                        class path entries; both are regular expressions
                -D<name>=<value>        set a system property of the build
                -J<flag>                pass a flag to the virtual machine that runs the builder
                -E<name>[=<value>]      set a variable of the builder's environment
                -H:<option>, -R:<option>
                                        set an option of the builder, or of the image
                --debug-attach[=<port>] wait for a debugger before the build
                --dry-run               print the command that would run the builder
                --verbose               print it, and run it
                --version, --help, --help-extra
            """;

    private static final int COLUMN = 28;

    private Help() {
    }

    static void print(Map<String, Option> options, boolean all) {
        System.out.println(USAGE);
        options.values().stream().filter(o -> o.deprecated().isEmpty() && (all || !o.extra())).forEach(o -> {
            String name = "    " + o.name() + (o.takesValue() ? o.allows('s') ? " <value>" : o.allows('n') ? "<value>" : "=<value>" : "");
            String gap = name.length() < COLUMN ? " ".repeat(COLUMN - name.length()) : "\n" + " ".repeat(COLUMN);
            System.out.println(name + gap + o.help());
        });
    }

    static void version(Path home) throws IOException {
        Properties release = new Properties();
        try (Reader reader = Files.newBufferedReader(home.resolve("release"))) {
            release.load(reader);
        }
        String version = unquoted(release, "GRAALVM_VERSION");
        System.out.println("native-image " + version);
        System.out.println("GraalVM CE " + version + " builder, assembled from published packages");
        System.out.println("on " + unquoted(release, "IMPLEMENTOR") + " JDK " + unquoted(release, "JAVA_RUNTIME_VERSION"));
    }

    private static String unquoted(Properties release, String key) {
        return release.getProperty(key, "unknown").replace("\"", "");
    }
}
