package dev.cloudjit.image;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.graalvm.nativeimage.hosted.Feature;
import org.graalvm.nativeimage.hosted.RuntimeReflection;

/**
 * Makes the classes of lambdas known to reflection. The file that the property {@code
 * dev.cloudjit.lambdas} names has a line for each kind: the declaring class and an interface,
 * with a blank between.
 *
 * <p>Reachability metadata can name lambdas too, but the builder of GraalVM 25 looks for them only in
 * the methods of the declaring class: those of its constructors and of its initializer, fields'
 * most of all, are not found. Here they are found when the analysis reaches them, wherever they are made.
 */
public final class LambdaFeature implements Feature {
    /** How the JDK names a lambda's class. */
    private static final String MARK = "$$Lambda";

    @Override
    public void beforeAnalysis(BeforeAnalysisAccess access) {
        String file = System.getProperty("dev.cloudjit.lambdas");
        if (file == null) {
            return;
        }
        List<String> lines;
        try {
            lines = Files.readAllLines(Path.of(file));
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        for (String line : lines) {
            int blank = line.indexOf(' ');
            Class<?> type = access.findClassByName(line.substring(blank + 1));
            if (type != null) {
                String prefix = line.substring(0, blank) + MARK;
                access.registerSubtypeReachabilityHandler((during, c) -> {
                    if (c.getName().startsWith(prefix)) {
                        register(c);
                    }
                }, type);
            }
        }
    }

    private static void register(Class<?> c) {
        RuntimeReflection.register(c);
        RuntimeReflection.registerAllClasses(c);
        RuntimeReflection.registerAllDeclaredClasses(c);
        RuntimeReflection.registerAllConstructors(c);
        RuntimeReflection.registerAllDeclaredConstructors(c);
        RuntimeReflection.registerAllFields(c);
        RuntimeReflection.registerAllDeclaredFields(c);
        RuntimeReflection.registerAllMethods(c);
        RuntimeReflection.registerAllDeclaredMethods(c);
        RuntimeReflection.registerAllRecordComponents(c);
        RuntimeReflection.registerAllPermittedSubclasses(c);
        RuntimeReflection.registerAllNestMembers(c);
        RuntimeReflection.registerAllSigners(c);
        RuntimeReflection.register(c.getDeclaredMethods()); // few: the interface's and its bridges
    }
}
