package dev.cloudjit.image;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.oracle.svm.core.jdk.CloudJitAnswers;
import com.oracle.svm.core.jdk.CloudJitLack;
import com.oracle.svm.core.jdk.UnsupportedFeatureError;
import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.lang.classfile.ClassFile;
import java.nio.file.Files;
import java.nio.file.Path;
import java.text.DateFormat;
import java.util.Calendar;
import java.util.HashSet;
import java.util.List;
import java.util.Locale;
import java.util.Set;
import java.util.TimeZone;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The patches against the builder that the tests have on their class path, and against one that has nothing of it. */
class PatcherTest {
    @TempDir
    Path dir;

    @Test
    void everyPointOfThisBuilder() throws Exception {
        Path home = home(Path.of(UnsupportedFeatureError.class.getProtectionDomain().getCodeSource().getLocation().toURI()));
        Path out = dir.resolve("out");
        for (String line : run(home, out, "--known")) {
            assertTrue(line.startsWith("patched "), line);
        }
        List<Path> classes;
        try (Stream<Path> all = Files.walk(out)) {
            classes = all.filter(Files::isRegularFile).toList();
        }
        Path here = Path.of(Patcher.class.getProtectionDomain().getCodeSource().getLocation().toURI());
        try (Stream<Path> own = Files.walk(here.resolve("com/oracle"))) {
            for (Path c : (Iterable<Path>) own.filter(p -> p.getFileName().toString().startsWith("CloudJit"))::iterator) {
                assertTrue(classes.contains(out.resolve(here.relativize(c))), c + " is not added to the builder");
            }
        }
        for (Path c : classes) {
            assertEquals(List.of(), ClassFile.of().verify(c).stream().filter(e -> e.getMessage() != null && e.getMessage().contains("Bad type")).toList(), c.toString());
        }
    }

    @Test
    void anotherBuilderIsToldApart() throws Exception {
        for (String line : run(home(empty()), dir.resolve("out"))) {
            assertTrue(line.matches("lacks [a-z-]+: the builder has no class .*"), line);
        }
    }

    /** Patches for smaller code are for builders that are known: one that has none of the places is no such builder. */
    @Test
    void anotherBuilderIsNotKnown() throws Exception {
        Path home = home(empty());
        assertThrows(IllegalStateException.class, () -> run(home, dir.resolve("out"), "--known"));
    }

    /** A JAR without classes. */
    private Path empty() throws Exception {
        Path empty = dir.resolve("empty.jar");
        new java.util.jar.JarOutputStream(Files.newOutputStream(empty), new java.util.jar.Manifest()).close();
        return empty;
    }

    private Path home(Path jar) throws Exception {
        Path builder = Files.createDirectories(dir.resolve("home/lib/svm/builder"));
        Files.copy(jar, builder.resolve("svm.jar"));
        return dir.resolve("home");
    }

    private List<String> run(Path home, Path out, String... more) throws Exception {
        PrintStream before = System.out;
        ByteArrayOutputStream said = new ByteArrayOutputStream();
        System.setOut(new PrintStream(said, true));
        try {
            Patcher.main(Stream.concat(Stream.of(home.toString(), out.toString()), Stream.of(more)).toArray(String[]::new));
        } finally {
            System.setOut(before);
        }
        List<String> lines = said.toString().lines().toList();
        assertFalse(lines.isEmpty());
        return lines;
    }

    @Test
    void whatIsNotInTheArchive() {
        Set<Long> names = new HashSet<>();
        for (String name : List.of("shop/Order.class", "shop/texts/de.properties", "META-INF/versions/21/shop/New.class", "empty/")) {
            ArchiveFeature.add(name, names);
        }
        CloudJitLack.setArchive(names.stream().mapToLong(Long::longValue).sorted().toArray());
        try {
            for (String there : List.of("shop/texts/de.properties", "shop/texts", "shop/texts/", "shop", "empty", "/shop", "shop/New.class", "META-INF/versions/21/shop/New.class", "java/lang/String.class")) {
                assertFalse(CloudJitLack.absentResource(null, there), there);
            }
            for (String none : List.of("log4j2-test1b2c3d.properties", "shop/texts/fr.properties", "shop/Order", "tests")) {
                assertTrue(CloudJitLack.absentResource(null, none), none);
            }
            for (String there : List.of("shop.Order", "shop.New", "java.lang.Strin", "[Lshop.None;", "shop.Order$$Lambda/0x1")) {
                assertFalse(CloudJitLack.absentClass(there), there);
            }
            assertTrue(CloudJitLack.absentClass("shop.None"));
        } finally {
            CloudJitLack.setArchive(null);
        }
        assertFalse(CloudJitLack.absentClass("shop.None"), "nothing is known");
    }

    @Test
    void filesOfTheJdkAndOfAClassPath() throws Exception {
        Set<Long> names = new HashSet<>();
        ArchiveFeature.modules(names);
        ArchiveFeature.entry(Path.of("target", "test-classes"), names);
        ArchiveFeature.entry(Path.of(UnsupportedFeatureError.class.getProtectionDomain().getCodeSource().getLocation().toURI()), names);
        for (String there : List.of("sun/net/idn/uidna.spp", "dev/cloudjit/image/PatcherTest.class", "dev/cloudjit", "com/oracle/svm/core/jdk/UnsupportedFeatureError.class", "META-INF/MANIFEST.MF")) {
            assertTrue(names.contains(CloudJitLack.hash(there)), there);
        }
        assertFalse(names.contains(CloudJitLack.hash("dev/cloudjit/image/None.class")));
    }

    @Test
    void answersOfHotSpot() {
        for (String tag : List.of("en-US", "th-TH", "th", "ja-JP-u-ca-japanese", "ja-JP-x-lvariant-JP", "de-u-ca-buddhist", "en-u-ca-iso8601", "fr-u-ca-nothing", "th-TH-u-ca-nothing")) {
            Locale l = Locale.forLanguageTag(tag);
            Calendar want = Calendar.getInstance(TimeZone.getTimeZone("Asia/Tokyo"), l);
            Calendar got = CloudJitAnswers.calendar(TimeZone.getTimeZone("Asia/Tokyo"), l);
            got.setTimeInMillis(want.getTimeInMillis());
            assertEquals(want, got, tag);
            assertEquals(want.getClass(), got.getClass(), tag);
        }
        assertArrayEquals(Locale.getAvailableLocales(), CloudJitAnswers.locales());
        assertArrayEquals(DateFormat.getAvailableLocales(), CloudJitAnswers.localesOfFormats());
        assertEquals("a.B", CloudJitAnswers.plain("a.B. This exception was synthesized during native image building from a call to x with constant arguments."));
        assertEquals("a.B", CloudJitAnswers.plain("a.B"));
        assertEquals("no x in java.library.path: " + System.getProperty("java.library.path"), CloudJitAnswers.noLibrary("x", "[/a, /b]"));
        assertEquals("object of type java.lang.String is not an instance of java.lang.Thread",
                assertThrows(IllegalArgumentException.class, () -> Thread.class.getMethod("getName").invoke("x")).getMessage());
        assertEquals("object of type java.lang.String is not an instance of java.lang.Thread", CloudJitAnswers.receiver("java.lang.String", "java.lang.Thread"));
    }

    /** No other language than Thai has rules of its own for words and lines of texts. */
    @Test
    void breaksOfThai() throws Exception {
        Set<String> languages = new HashSet<>();
        for (String module : List.of("java.base", "jdk.localedata")) {
            var reference = ModuleLayer.boot().configuration().findModule(module).orElseThrow().reference();
            try (var reader = reference.open(); var all = reader.list()) {
                all.filter(n -> n.contains("BreakIteratorInfo_")).forEach(n -> languages.add(n.replaceAll(".*_|\\.class", "")));
            }
        }
        assertEquals(Set.of("th"), languages);
    }

    @Test
    void castMessages() {
        Object[] objects = {"x", new int[0], this, new PatcherTest[0], List.of(1)};
        Class<?>[] types = {Integer.class, PatcherTest.class, Set.class, String[].class};
        for (Object o : objects) {
            for (Class<?> type : types) {
                if (!type.isInstance(o)) {
                    assertEquals(hotSpots(o, type), CloudJitLack.castMessage(o, type));
                }
            }
        }
    }

    private static String hotSpots(Object o, Class<?> type) {
        try {
            Object cast = type == Integer.class ? (Integer) o : type == PatcherTest.class ? (PatcherTest) o : type == Set.class ? (Set<?>) o : (String[]) o;
            return "no error: " + cast;
        } catch (ClassCastException e) {
            return e.getMessage();
        }
    }
}
