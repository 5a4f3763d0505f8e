package cloudjit.builder;

import java.io.File;
import java.io.IOException;
import java.net.URI;
import java.nio.file.Files;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;
import java.util.jar.Attributes;
import java.util.jar.JarFile;
import java.util.jar.Manifest;
import java.util.stream.Stream;

/** The class path of the image: its entries in order, those named by manifests included. */
final class ClassPath {
    private final Set<Path> entries = new LinkedHashSet<>();

    List<Path> entries() {
        return List.copyOf(entries);
    }

    /** Adds a path as the java launcher takes it; entries that are not there are left out, as it does. */
    void add(String path) {
        for (String element : path.split(File.pathSeparator)) {
            if (element.equals("*") || element.endsWith("/*")) {
                wildcard(Path.of(element.substring(0, element.length() - 1)));
            } else {
                addEntry(Path.of(element));
            }
        }
    }

    private void wildcard(Path folder) {
        try (Stream<Path> files = Files.list(folder.toString().isEmpty() ? Path.of(".") : folder)) {
            files.filter(f -> f.toString().toLowerCase().endsWith(".jar")).sorted().forEach(this::addEntry);
        } catch (IOException e) {
            // no such folder: nothing to add
        }
    }

    private void addEntry(Path path) {
        Path entry = path.toAbsolutePath().normalize();
        if (!Files.exists(entry) || !entries.add(entry) || Files.isDirectory(entry)) {
            return;
        }
        Manifest manifest = manifest(entry);
        String more = manifest == null ? null : manifest.getMainAttributes().getValue(Attributes.Name.CLASS_PATH);
        if (more != null) {
            for (String relative : more.strip().split("\\s+")) {
                try {
                    URI uri = entry.toUri().resolve(relative);
                    if ("file".equals(uri.getScheme())) {
                        addEntry(Path.of(uri));
                    }
                } catch (IllegalArgumentException e) {
                    // not a URI that names a file: the launcher ignores it too
                }
            }
        }
    }

    /** Null if the jar has none. */
    static Manifest manifest(Path jar) {
        try (JarFile file = new JarFile(jar.toFile())) {
            return file.getManifest();
        } catch (IOException | InvalidPathException e) {
            throw new Failure("cannot read " + jar + ": " + e.getMessage());
        }
    }

    String joined() {
        List<String> names = new ArrayList<>();
        entries.forEach(e -> names.add(e.toString()));
        return String.join(File.pathSeparator, names);
    }
}
