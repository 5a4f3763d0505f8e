package cloudjit.builder;

import java.io.File;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import java.util.stream.Stream;

/**
 * The native-image command of an assembled builder: turns the options of GraalVM's command into one run
 * of the builder in a Java virtual machine of its own, and ends with its exit status.
 */
public final class NativeImage {
    /** Exit status when no builder was run, as the real command has it. */
    private static final int DRIVER_ERROR = 20;
    /** What -XX:+ExitOnOutOfMemoryError makes the builder end with. */
    private static final int OUT_OF_MEMORY = 3;
    /** 128 + SIGKILL. */
    private static final int KILLED = 137;

    private static final String MAIN =
            "org.graalvm.nativeimage.builder/com.oracle.svm.hosted.NativeImageGeneratorRunner";

    /** The option that puts classes in the place of the builder's own. */
    private static final String PATCH = "--patch-module=org.graalvm.nativeimage.builder=";

    private final Path home;
    private final Path lib;

    private NativeImage(Path home) {
        this.home = home;
        this.lib = home.resolve("lib").resolve("svm");
    }

    public static void main(String[] arguments) {
        int status;
        try {
            status = new NativeImage(Path.of(System.getProperty("cloudjit.home"))).run(List.of(arguments));
        } catch (Failure | IOException e) {
            System.err.println("Error: " + e.getMessage());
            status = DRIVER_ERROR;
        } catch (InterruptedException e) {
            status = DRIVER_ERROR;
        }
        System.exit(status);
    }

    private int run(List<String> arguments) throws IOException, InterruptedException {
        Map<String, Option> options = Option.read(lib.resolve("options"));
        Request request = new Request(options);
        List<String> all = new ArrayList<>(Words.split(System.getenv().getOrDefault("NATIVE_IMAGE_OPTIONS", "")));
        all.addAll(arguments);
        if (all.isEmpty()) {
            Help.print(options, false);
            return DRIVER_ERROR;
        }
        request.parse(Words.expand(all));
        if (request.help() != null) {
            switch (request.help()) {
                case "version" -> Help.version(home);
                default -> Help.print(options, request.help().equals("help-extra"));
            }
            return 0;
        }
        List<String> builder = request.builderArguments(lib.resolve("clibraries"), Path.of("").toAbsolutePath());
        builder.add("-H:ImageBuildID@driver=" + UUID.nameUUIDFromBytes(
                String.join("\0", builder).getBytes(StandardCharsets.UTF_8)));
        return build(request, builder);
    }

    private int build(Request request, List<String> builder) throws IOException, InterruptedException {
        String configured = System.getenv("TMPDIR");
        Path parent = Path.of(configured == null || configured.isEmpty() ? "/tmp" : configured);
        Path scratch = Files.createTempDirectory(parent, "native-image-");
        Thread cleaner = new Thread(() -> delete(scratch));
        Runtime.getRuntime().addShutdownHook(cleaner);
        Path file = scratch.resolve("builder.args");
        Files.writeString(file, String.join("\0", builder));
        List<String> command = command(request, scratch, file);
        if (request.verbose() || request.dryRun()) {
            System.out.println("Executing [");
            System.out.println(String.join(" \\\n", command));
            System.out.println("]\nwith builder arguments [");
            System.out.println(String.join("\n", builder));
            System.out.println("]");
        }
        if (request.dryRun()) {
            return 0;
        }
        ProcessBuilder process = new ProcessBuilder(command).inheritIO();
        process.environment().put("USE_NATIVE_IMAGE_JAVA_PLATFORM_MODULE_SYSTEM", "true");
        process.environment().put("JVMCI_VERSION_CHECK", "warn");
        process.environment().putAll(request.environment());
        Process running = process.start();
        Thread ender = new Thread(() -> end(running));
        Runtime.getRuntime().addShutdownHook(ender);
        int status = running.waitFor();
        Runtime.getRuntime().removeShutdownHook(ender);
        switch (status) {
            case OUT_OF_MEMORY -> System.err.println(
                    "Error: the builder ran out of heap; give it more with -J-Xmx<size> or give the machine more memory");
            case KILLED -> System.err.println(
                    "Error: the builder was killed, most likely because memory ran out; limit its heap with -J-Xmx<size>");
            default -> {
            }
        }
        return status;
    }

    private List<String> command(Request request, Path scratch, Path file) throws IOException {
        List<String> modules = new ArrayList<>();
        String compiler = null;
        try (Stream<Path> jars = Files.list(lib.resolve("builder"))) {
            for (Path jar : (Iterable<Path>) jars.sorted()::iterator) {
                if (jar.getFileName().toString().startsWith("compiler-")) {
                    compiler = jar.toString();
                } else {
                    modules.add(jar.toString());
                }
            }
        }
        List<String> command = new ArrayList<>(List.of(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "@" + lib.resolve("exports.args"),
                "-XX:+UnlockExperimentalVMOptions", "-XX:+EnableJVMCI", "-XX:-UseJVMCICompiler",
                "-XX:+UseParallelGC", "-XX:MaxRAMPercentage=70", "-XX:GCTimeRatio=9", "-XX:+ExitOnOutOfMemoryError",
                "-Xss10m", "-Djava.awt.headless=true", "-Djava.io.tmpdir=" + scratch,
                "-Dorg.graalvm.nativeimage.imagecode=buildtime",
                "-Djava.system.class.loader=com.oracle.svm.hosted.NativeImageSystemClassLoader",
                "-Djdk.internal.lambda.disableEagerInitialization=true",
                "-Djdk.internal.lambda.eagerlyInitialize=false",
                "-Djava.lang.invoke.InnerClassLambdaMetafactory.initializeLambdas=false",
                // What counts how often a method handle is called cannot be compiled: an image would interpret the
                // handle, and with it every record's equals, in microseconds instead of nanoseconds.
                "-Djava.lang.invoke.MethodHandle.PROFILE_GWT=false",
                "-Djava.lang.invoke.MethodHandle.DONT_INLINE_THRESHOLD=-1",
                "-Dgraalvm.locatorDisabled=true", "-Dsubstratevm.HostLibC=glibc",
                "--enable-native-access=org.graalvm.nativeimage.builder",
                "--add-modules=ALL-DEFAULT",
                "--upgrade-module-path", compiler,
                "--module-path", String.join(":", modules),
                PATCH + lib.resolve("patch")));
        merged(command, request.jvmArguments());
        command.addAll(List.of("--module", MAIN, "--image-args-file=" + file));
        return command;
    }

    /**
     * Adds arguments of the user. The JVM takes one patch of a module, so that a further one of the builder's is joined to
     * the driver's own.
     */
    private static void merged(List<String> command, List<String> arguments) {
        for (String argument : arguments) {
            int own = command.size() - 1;
            while (own >= 0 && !command.get(own).startsWith(PATCH)) {
                own--;
            }
            if (argument.startsWith(PATCH) && own >= 0) {
                command.set(own, command.get(own) + File.pathSeparator + argument.substring(PATCH.length()));
            } else {
                command.add(argument);
            }
        }
    }

    private static void end(Process process) {
        process.destroy();
        try {
            process.waitFor();
        } catch (InterruptedException e) {
            process.destroyForcibly();
        }
    }

    private static void delete(Path folder) {
        try (Stream<Path> files = Files.walk(folder)) {
            files.sorted((a, b) -> b.compareTo(a)).forEach(f -> f.toFile().delete());
        } catch (IOException | java.io.UncheckedIOException e) {
            // a builder that still ends may remove files at the same time; nothing depends on it
        }
    }
}
