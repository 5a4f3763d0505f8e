package cloudjit.builder;

import java.io.IOException;
import java.io.StringReader;
import java.nio.file.FileSystem;
import java.nio.file.FileSystems;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.regex.Pattern;
import java.util.regex.PatternSyntaxException;
import java.util.stream.Stream;

/**
 * Finds what the entries of a class path say about their own build, below {@code META-INF/native-image}:
 * options in native-image.properties, metadata in reachability-metadata.json and the older *-config.json.
 */
final class MetaInf {
    private static final String ROOT = "META-INF/native-image";

    /** The builder's option for each kind of metadata file. */
    private static final Map<String, String> CONFIGURATION = Map.of(
            "reachability-metadata.json", "ReachabilityMetadataResources",
            "reflect-config.json", "ReflectionConfigurationResources",
            "jni-config.json", "JNIConfigurationResources",
            "proxy-config.json", "DynamicProxyConfigurationResources",
            "resource-config.json", "ResourceConfigurationResources",
            "serialization-config.json", "SerializationConfigurationResources",
            "predefined-classes-config.json", "PredefinedClassesConfigurationResources");

    /** What receives the findings. */
    interface Sink {
        /** Options of a native-image.properties; origin is the URI of the file. */
        void options(Properties properties, String resourceFolder, String origin);

        void builderArgument(String argument);
    }

    private record Exclusion(Pattern entry, Pattern resource) {
    }

    private final List<Exclusion> exclusions = new ArrayList<>();

    /** Leaves out resources that match in class path entries that match; both regular expressions. */
    void exclude(String entry, String resource) {
        try {
            exclusions.add(new Exclusion(Pattern.compile(entry), Pattern.compile(resource)));
        } catch (PatternSyntaxException e) {
            throw new Failure("--exclude-config: not a regular expression: " + e.getMessage());
        }
    }

    void read(Path entry, Sink sink) {
        if (Files.isDirectory(entry)) {
            walk(entry, entry, entry.toUri().toString(), sink);
            return;
        }
        try (FileSystem jar = FileSystems.newFileSystem(entry)) {
            walk(entry, jar.getPath("/"), "jar:" + entry.toUri() + "!/", sink);
        } catch (IOException | java.nio.file.ProviderNotFoundException e) {
            throw new Failure("cannot read class path entry " + entry + ": " + e.getMessage());
        }
    }

    private void walk(Path entry, Path top, String uri, Sink sink) {
        Path root = top.resolve(ROOT);
        if (!Files.isDirectory(root)) {
            return;
        }
        Map<Path, String> found = new LinkedHashMap<>();
        try (Stream<Path> files = Files.walk(root)) {
            files.filter(Files::isRegularFile).sorted().forEach(f -> found.put(f, top.relativize(f).toString()));
        } catch (IOException e) {
            throw new Failure("cannot read " + ROOT + " of " + entry + ": " + e.getMessage());
        }
        found.forEach((file, resource) -> {
            String name = file.getFileName().toString();
            boolean properties = name.equals("native-image.properties");
            if ((!properties && !CONFIGURATION.containsKey(name)) || excluded(entry, resource)) {
                return;
            }
            String origin = uri + resource;
            if (properties) {
                sink.options(load(file, origin), resource.substring(0, resource.lastIndexOf('/')), origin);
            } else {
                sink.builderArgument("-H:" + CONFIGURATION.get(name) + "@" + origin + "=" + resource);
            }
        });
    }

    private boolean excluded(Path entry, String resource) {
        for (Exclusion e : exclusions) {
            // The real command matches with a leading slash; users write patterns with and without it.
            if (e.entry.matcher(entry.toString()).find()
                    && (e.resource.matcher(resource).find() || e.resource.matcher("/" + resource).find())) {
                return true;
            }
        }
        return false;
    }

    private static Properties load(Path file, String origin) {
        Properties properties = new Properties();
        try {
            properties.load(new StringReader(Files.readString(file)));
        } catch (IOException | IllegalArgumentException e) {
            throw new Failure("cannot read " + origin + ": " + e.getMessage());
        }
        return properties;
    }

    /** Passes the words of a property on, with ${.} replaced by the folder of the file. */
    static List<String> words(Properties properties, String key, String resourceFolder) {
        List<String> words = new ArrayList<>();
        for (String word : Words.split(properties.getProperty(key, ""))) {
            words.add(word.replace("${.}", resourceFolder));
        }
        return words;
    }
}
