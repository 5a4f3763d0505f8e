package dev.cloudjit.image;

import com.oracle.svm.core.jdk.CloudJitLack;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.FileVisitResult;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.SimpleFileVisitor;
import java.nio.file.attribute.BasicFileAttributes;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.zip.ZipEntry;
import java.util.zip.ZipFile;
import org.graalvm.nativeimage.hosted.Feature;

/**
 * Tells a binary which files its class path had, and the modules of the JDK, so that what is not there is not found, and
 * no missing metadata. Of each it keeps eight bytes. Needs a patched builder.
 */
public final class ArchiveFeature implements Feature {
    @Override
    public void beforeAnalysis(BeforeAnalysisAccess access) {
        Set<Long> names = new HashSet<>();
        try {
            modules(names);
            for (Path p : access.getApplicationClassPath()) {
                entry(p, names);
            }
        } catch (IOException | UncheckedIOException e) {
            System.out.println("cloudjit: what is not in the archive stays missing metadata: " + e);
            return;
        }
        CloudJitLack.setArchive(names.stream().mapToLong(Long::longValue).sorted().toArray());
    }

    /** The JDK's resources; its classes are known by their packages. */
    static void modules(Set<Long> names) throws IOException {
        for (Module m : ModuleLayer.boot().modules()) {
            var reference = ModuleLayer.boot().configuration().findModule(m.getName()).orElseThrow().reference();
            try (var reader = reference.open(); var all = reader.list()) {
                for (String name : (Iterable<String>) all::iterator) {
                    if (!name.endsWith(".class") || name.endsWith("module-info.class")) {
                        add(name, names);
                    }
                }
            }
        }
    }

    static void entry(Path p, Set<Long> names) throws IOException {
        if (Files.isDirectory(p)) {
            Files.walkFileTree(p, new SimpleFileVisitor<>() {
                @Override
                public FileVisitResult visitFile(Path file, BasicFileAttributes a) {
                    add(p.relativize(file).toString(), names);
                    return FileVisitResult.CONTINUE;
                }

                @Override
                public FileVisitResult preVisitDirectory(Path dir, BasicFileAttributes a) {
                    add(p.relativize(dir).toString(), names);
                    return FileVisitResult.CONTINUE;
                }
            });
        } else if (Files.isRegularFile(p)) {
            try (ZipFile zip = new ZipFile(p.toFile())) {
                for (ZipEntry e : (Iterable<ZipEntry>) zip.stream().map(ZipEntry.class::cast)::iterator) {
                    add(e.getName(), names);
                }
            }
        }
    }

    private static final String VERSIONS = "META-INF/versions/";

    /** Adds a name, without the version in front of a multi-release archive's too, and its folders. */
    static void add(String name, Set<Long> names) {
        String plain = name.endsWith("/") ? name.substring(0, name.length() - 1) : name;
        for (String n : List.of(plain, unversioned(plain))) {
            names.add(CloudJitLack.hash(n));
            names.add(CloudJitLack.hash(n + "/"));
            for (int slash = n.lastIndexOf('/'); slash > 0; slash = n.lastIndexOf('/', slash - 1)) {
                boolean added = names.add(CloudJitLack.hash(n.substring(0, slash)));
                if (!(names.add(CloudJitLack.hash(n.substring(0, slash + 1))) | added)) {
                    break; // and so are those above it
                }
            }
        }
    }

    private static String unversioned(String name) {
        if (!name.startsWith(VERSIONS)) {
            return name;
        }
        int slash = name.indexOf('/', VERSIONS.length());
        return slash < 0 ? name : name.substring(slash + 1);
    }
}
