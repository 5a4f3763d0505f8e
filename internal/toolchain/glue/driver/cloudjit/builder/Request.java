package cloudjit.builder;

import java.io.File;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.ListIterator;
import java.util.Map;
import java.util.Properties;
import java.util.jar.Attributes;
import java.util.jar.Manifest;

/** What the command line asks for, put together from its options and those of the class path. */
final class Request {
    private static final String USER = "user";
    private static final String DRIVER = "driver";

    /** Options of Oracle's distribution, or of parts that are not published as packages. */
    private static final Map<String, String> ABSENT = Map.of(
            "--pgo", "profile-guided optimization needs Oracle GraalVM",
            "--pgo-instrument", "profile-guided optimization needs Oracle GraalVM",
            "--pgo-sampling", "profile-guided optimization needs Oracle GraalVM",
            "--emit", "build reports need Oracle GraalVM",
            "--bundle-create", "bundles are not supported by the assembled builder",
            "--bundle-apply", "bundles are not supported by the assembled builder",
            "--diagnostics-mode", "the diagnostics mode is not supported by the assembled builder",
            "--macro", "macro options are not supported by the assembled builder",
            "--gc=G1", "the G1 collector needs Oracle GraalVM",
            "-Werror", "-Werror is not supported by the assembled builder");

    private final Map<String, Option> options;
    private final ClassPath classPath = new ClassPath();
    private final MetaInf metaInf = new MetaInf();
    private final List<String> builder = new ArrayList<>();
    private final List<String> implied = new ArrayList<>();
    private final List<String> jvm = new ArrayList<>();
    private final Map<String, String> environment = new LinkedHashMap<>();
    private final List<String> modulePath = new ArrayList<>();
    private final List<String> names = new ArrayList<>();
    private String jar;
    private String mainClass;
    private String imageName;
    private String module;
    private boolean classPathGiven;
    private boolean shared;
    private boolean informational;
    private boolean verbose;
    private boolean dryRun;
    private String help;

    Request(Map<String, Option> options) {
        this.options = options;
    }

    boolean verbose() {
        return verbose;
    }

    boolean dryRun() {
        return dryRun;
    }

    /** "version", "help", "help-extra", or null for a build. */
    String help() {
        return help;
    }

    List<String> jvmArguments() {
        return jvm;
    }

    Map<String, String> environment() {
        return environment;
    }

    /** Takes the arguments of the command line, argument files already expanded. */
    void parse(List<String> arguments) {
        ListIterator<String> rest = arguments.listIterator();
        while (rest.hasNext()) {
            String argument = rest.next();
            if (!argument.startsWith("-")) {
                names.add(argument);
            } else if (!driverOption(argument, rest) && !option(argument, rest, USER, builder)) {
                throw unknown(argument, null);
            }
        }
    }

    /** Options that the command itself acts on. */
    private boolean driverOption(String argument, ListIterator<String> rest) {
        int equals = argument.startsWith("--") ? argument.indexOf('=') : -1;
        String name = equals < 0 ? argument : argument.substring(0, equals);
        String value = equals < 0 ? null : argument.substring(equals + 1);
        switch (name) {
            case "-cp", "-classpath", "--class-path" -> {
                classPathGiven = true;
                classPath.add(value(name, value, rest));
            }
            case "-p", "--module-path" -> modulePath.add(value(name, value, rest));
            case "-m", "--module" -> module = value(name, value, rest);
            case "-jar" -> jar = value(name, value, rest);
            case "--add-modules" -> jvm.add("-Dsvm.modulesupport.addedModules=" + value(name, value, rest));
            case "--limit-modules" -> jvm.add("-Dsvm.modulesupport.limitedModules=" + value(name, value, rest));
            case "--enable-preview" -> jvm.add("--enable-preview");
            case "--exclude-config" -> metaInf.exclude(value(name, value, rest), value(name, null, rest));
            case "--debug-attach" -> jvm.add("-agentlib:jdwp=transport=dt_socket,server=y,suspend=y,address="
                    + (value == null ? "8000" : value));
            case "--verbose" -> verbose = true;
            case "--dry-run" -> dryRun = true;
            case "--version" -> help = "version";
            case "--help", "-h" -> help = "help";
            case "--help-extra" -> help = "help-extra";
            default -> {
                return prefixed(argument);
            }
        }
        return true;
    }

    private boolean prefixed(String argument) {
        if (argument.startsWith("-J") && argument.length() > 2) {
            jvm.add(argument.substring(2));
        } else if (argument.startsWith("-D") && argument.length() > 2) {
            jvm.add(argument);
        } else if (argument.startsWith("-E") && argument.length() > 2) {
            String[] pair = argument.substring(2).split("=", 2);
            environment.put(pair[0], pair.length == 2 ? pair[1] : System.getenv().getOrDefault(pair[0], ""));
        } else {
            return false;
        }
        return true;
    }

    /** Options of the builder, written in its own way or in the command's. */
    private boolean option(String argument, ListIterator<String> rest, String origin, List<String> to) {
        if (argument.startsWith("-H:") || argument.startsWith("-R:")) {
            to.add(tagged(argument, origin));
            return true;
        }
        Option exact = options.get(argument);
        if (exact != null) {
            String value = exact.defaultValue();
            if (exact.takesValue() && exact.allows('s')) {
                value = value(argument, null, rest);
            } else if (exact.takesValue() && value == null) {
                throw new Failure("option " + argument + " needs a value: " + argument + "=<value>");
            }
            apply(exact, value, origin, to);
            return true;
        }
        for (Option o : options.values()) {
            if (!o.takesValue() || !argument.startsWith(o.name())) {
                continue;
            }
            String tail = argument.substring(o.name().length());
            if (o.allows('n')) {
                apply(o, tail, origin, to);
                return true;
            }
            if (o.allows(tail.charAt(0))) {
                apply(o, tail.substring(1), origin, to);
                return true;
            }
        }
        return false;
    }

    private void apply(Option option, String value, String origin, List<String> to) {
        shared |= option.target().equals("SharedLibrary");
        informational |= switch (option.target()) {
            case "ListModules", "DumpTargetInfo", "ListCPUFeatures" -> true;
            default -> false;
        };
        if (option.target().equals("Name")) {
            imageName = value;
            return;
        }
        if (origin.equals(USER) && !option.deprecated().isEmpty()) {
            System.err.println("Warning: option " + option.name() + " is deprecated: " + option.deprecated());
        }
        to.add(option.builderArgument(value, origin + "+api"));
    }

    /** Says who gave a -H: or -R: option, as the builder wants to know it; an origin that is there stays. */
    private static String tagged(String argument, String origin) {
        String body = argument.substring(3);
        boolean flag = body.startsWith("+") || body.startsWith("-");
        int equals = flag ? -1 : body.indexOf('=');
        String name = equals < 0 ? body : body.substring(0, equals);
        String rest = equals < 0 ? "" : body.substring(equals);
        return name.contains("@") ? argument : argument.substring(0, 3) + name + "@" + origin + rest;
    }

    private static String value(String name, String inline, ListIterator<String> rest) {
        if (inline != null) {
            return inline;
        }
        if (!rest.hasNext()) {
            throw new Failure("option " + name + " needs a value");
        }
        return rest.next();
    }

    private static Failure unknown(String argument, String origin) {
        String name = argument.startsWith("--") && argument.indexOf('=') > 0
                ? argument.substring(0, argument.indexOf('=')) : argument;
        String reason = ABSENT.getOrDefault(argument, ABSENT.get(name));
        return new Failure("unrecognized option '" + argument + "'" + (origin == null ? "" : " in " + origin)
                + (reason == null ? "; 'native-image --help' lists the options" : ": " + reason));
    }

    /** The arguments of the builder for this request. */
    List<String> builderArguments(Path libraries, Path workingFolder) {
        target(workingFolder);
        metaInf();
        List<String> result = new ArrayList<>(List.of("-imagecp", classPath.joined()));
        if (!modulePath.isEmpty()) {
            result.add("-imagemp");
            result.add(String.join(File.pathSeparator, modulePath));
        }
        result.add("-H:CLibraryPath@" + DRIVER + "=" + libraries);
        result.addAll(implied); // before the user's own options: of two, the later one holds
        result.addAll(builder);
        if (module != null) {
            String[] parts = module.split("/", 2);
            result.add("-H:Module@" + DRIVER + "=" + parts[0]);
            mainClass = parts.length == 2 ? parts[1] : mainClass;
        }
        if (mainClass != null) {
            result.add("-H:Class@" + DRIVER + "=" + mainClass);
        }
        output(result, workingFolder);
        return result;
    }

    /** Main class, class path and name of the image, from -jar or from the arguments without a dash. */
    private void target(Path workingFolder) {
        List<String> left = new ArrayList<>(names);
        if (jar != null) {
            Manifest manifest = ClassPath.manifest(Path.of(jar));
            Attributes attributes = manifest == null ? new Attributes() : manifest.getMainAttributes();
            mainClass = attributes.getValue(Attributes.Name.MAIN_CLASS);
            if (mainClass == null && !shared) {
                throw new Failure("no Main-Class in the manifest of " + jar);
            }
            classPath.add(jar);
            fromManifest(attributes);
        } else if (!left.isEmpty() && !shared && module == null) {
            mainClass = left.removeFirst().replace('/', '.');
        }
        if (!left.isEmpty() && imageName == null) {
            imageName = left.removeFirst();
        }
        if (!left.isEmpty()) {
            throw new Failure("unexpected argument '" + left.getFirst() + "'");
        }
        if (!classPathGiven && jar == null && modulePath.isEmpty()) {
            classPath.add(System.getenv().getOrDefault("CLASSPATH", workingFolder.toString()));
        }
        boolean byOption = builder.stream().anyMatch(a -> a.startsWith("-H:Class@") || a.startsWith("-H:Module@"));
        if (mainClass == null && module == null && !shared && !informational && !byOption) {
            throw new Failure("name the main class: native-image [options] <main class>, or -jar <file>, or --shared");
        }
    }

    private void fromManifest(Attributes attributes) {
        access(attributes.getValue("Add-Exports"), "AddExports");
        access(attributes.getValue("Add-Opens"), "AddOpens");
        if (attributes.getValue("Enable-Native-Access") != null) {
            implied.add("-H:EnableNativeAccess@" + DRIVER + "=ALL-UNNAMED");
        }
    }

    private void access(String packages, String option) {
        if (packages != null && !packages.isBlank()) {
            for (String pkg : packages.strip().split("\\s+")) {
                implied.add("-H:" + option + "@" + DRIVER + "=" + pkg + "=ALL-UNNAMED");
            }
        }
    }

    private void metaInf() {
        MetaInf.Sink sink = new MetaInf.Sink() {
            @Override
            public void options(Properties properties, String resourceFolder, String origin) {
                ListIterator<String> words = MetaInf.words(properties, "Args", resourceFolder).listIterator();
                while (words.hasNext()) {
                    String word = words.next();
                    if (!fromProperties(word, words) && !option(word, words, origin, implied)) {
                        throw unknown(word, origin);
                    }
                }
                jvm.addAll(0, MetaInf.words(properties, "JavaArgs", resourceFolder));
                if (imageName == null) {
                    imageName = properties.getProperty("ImageName");
                }
            }

            @Override
            public void builderArgument(String argument) {
                implied.add(argument);
            }
        };
        for (Path entry : classPath.entries()) {
            metaInf.read(entry, sink);
        }
        for (String path : modulePath) {
            ClassPath modules = new ClassPath();
            modules.add(path);
            modules.entries().forEach(entry -> metaInf.read(entry, sink));
        }
    }

    /** Options of the command that libraries use in their native-image.properties. */
    private boolean fromProperties(String word, ListIterator<String> words) {
        return word.startsWith("-D") || word.startsWith("-J") || word.startsWith("--add-modules")
                || word.startsWith("--exclude-config") || word.equals("--enable-preview") ? driverOption(word, words) : false;
    }

    private void output(List<String> result, Path workingFolder) {
        String name = imageName;
        if (name == null && jar != null) {
            name = Path.of(jar).getFileName().toString().replaceFirst("\\.jar$", "");
        } else if (name == null && mainClass != null) {
            name = mainClass.toLowerCase();
        } else if (name == null && module != null) {
            name = module.split("/")[0];
        }
        if (name == null) {
            name = "image";
        }
        Path image = workingFolder.resolve(name).normalize();
        result.add("-H:Path@" + DRIVER + "=" + image.getParent());
        result.add("-H:Name@" + DRIVER + "=" + image.getFileName());
    }
}
