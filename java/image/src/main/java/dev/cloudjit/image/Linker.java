package dev.cloudjit.image;

import java.io.IOException;
import java.io.InputStream;
import java.net.MalformedURLException;
import java.net.URL;
import java.net.URLClassLoader;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.function.UnaryOperator;
import java.util.jar.JarFile;
import java.util.stream.Stream;
import jdk.vm.ci.meta.MetaAccessProvider;
import jdk.vm.ci.runtime.JVMCI;

/**
 * {@code java ... dev.cloudjit.image.Linker OUT CLASSPATH}: links every class of a class path, and writes for
 * each that cannot be linked a {@linkplain StandIn stand-in} below the folder OUT, and what {@link AsOnHotSpot} changes.
 *
 * <p>Such classes are common: a library's class for another, optional library, whose verification
 * needs a type that is not there. On HotSpot the first use of one throws NoClassDefFoundError,
 * by which programs find out that the optional library is missing. A native image finds the
 * class but none of its methods, and throws NoSuchMethodError, which no program expects.
 *
 * <p>It needs {@code -XX:+UnlockExperimentalVMOptions -XX:+EnableJVMCI} and the exports of
 * jdk.internal.vm.ci: through that interface alone a class can be linked without being initialized.
 */
public final class Linker {
    private Linker() {}

    /** What only exists while an image is built: classes that need these are the builder's to judge. */
    private static final String[] BUILD_TIME = {"com/oracle/svm/", "com/oracle/graal/", "org/graalvm/", "jdk/graal/", "jdk/vm/ci/"};

    public static void main(String[] args) throws IOException {
        if (args.length != 2) {
            System.err.println("usage: linker OUT CLASSPATH");
            System.exit(2);
        }
        Path out = Path.of(args[0]);
        int written = 0;
        for (var e : others(List.of(args[1].split(":"))).entrySet()) {
            Path file = out.resolve(e.getKey().replace('.', '/') + ".class");
            Files.createDirectories(file.getParent());
            Files.write(file, e.getValue());
            written++;
        }
        System.out.println("linker: " + written + " classes");
    }

    /** Returns the classes that take the place of the application's own, by name. */
    private static TreeMap<String, byte[]> others(List<String> classPath) throws IOException {
        List<URL> urls = new ArrayList<>();
        TreeSet<String> names = new TreeSet<>();
        for (String entry : classPath) {
            Path path = Path.of(entry);
            if (Files.isDirectory(path)) {
                folder(path, names);
            } else if (Files.isRegularFile(path)) {
                archive(path, names);
            } else {
                continue; // as the JVM does
            }
            urls.add(url(path));
        }
        MetaAccessProvider types = JVMCI.getRuntime().getHostJVMCIBackend().getMetaAccess();
        TreeMap<String, byte[]> found = new TreeMap<>();
        try (URLClassLoader loader = new URLClassLoader(urls.toArray(URL[]::new), ClassLoader.getPlatformClassLoader())) {
            for (String name : names) {
                LinkageError error = link(name, loader, types);
                byte[] other = null;
                String why = null;
                if (error == null && AsOnHotSpot.concerns(name)) {
                    other = changed(name, loader, original -> AsOnHotSpot.of(name, original));
                    why = " goes on as on HotSpot";
                } else if (error != null && !needsBuilder(error)) {
                    other = changed(name, loader, original -> StandIn.of(original, error));
                    why = ": " + error;
                }
                if (other != null) {
                    found.put(name, other);
                    System.out.println("linker: " + name + why);
                }
            }
        }
        return found;
    }

    /** Returns why a class that can be loaded cannot be linked; null if it can, or is not even loaded. */
    private static LinkageError link(String name, ClassLoader loader, MetaAccessProvider types) {
        Class<?> c;
        try {
            c = Class.forName(name, false, loader);
        } catch (ClassNotFoundException | LinkageError | RuntimeException e) {
            return null; // an image does not have it either, and throws what HotSpot throws
        }
        if (c.getClassLoader() != loader) {
            return null; // hidden by a class of the JDK
        }
        try {
            types.lookupJavaType(c).link();
            return null;
        } catch (LinkageError e) {
            return e;
        }
    }

    private static boolean needsBuilder(LinkageError error) {
        String message = String.valueOf(error.getMessage());
        for (String prefix : BUILD_TIME) {
            if (message.contains(prefix)) {
                return true;
            }
        }
        return false;
    }

    /** Returns what a change makes of a class; null if that is nothing. */
    private static byte[] changed(String name, URLClassLoader loader, UnaryOperator<byte[]> change) throws IOException {
        // Through the loader, which picks the right one of a multi-release archive.
        try (InputStream in = loader.getResourceAsStream(name.replace('.', '/') + ".class")) {
            return in == null ? null : change.apply(in.readAllBytes());
        } catch (IllegalArgumentException e) {
            return null; // a class file that the JDK's parser refuses
        }
    }

    private static void folder(Path root, TreeSet<String> names) throws IOException {
        try (Stream<Path> files = Files.walk(root)) {
            files.forEach(f -> name(root.relativize(f).toString(), names));
        }
    }

    private static void archive(Path path, TreeSet<String> names) throws IOException {
        try (JarFile jar = new JarFile(path.toFile(), false, JarFile.OPEN_READ, JarFile.runtimeVersion())) {
            jar.versionedStream().forEach(e -> name(e.getName(), names));
        }
    }

    private static void name(String file, TreeSet<String> names) {
        if (file.endsWith(".class") && !file.startsWith("META-INF/") && !file.endsWith("-info.class")) {
            names.add(file.substring(0, file.length() - ".class".length()).replace('/', '.'));
        }
    }

    private static URL url(Path path) throws MalformedURLException {
        return path.toUri().toURL();
    }
}
