package dev.cloudjit.tracer;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.cloudjit.tracer.test.Desktop;
import dev.cloudjit.tracer.test.Folders;
import dev.cloudjit.tracer.test.Hostile;
import dev.cloudjit.tracer.test.OtherAgent;
import dev.cloudjit.tracer.test.Sample;
import dev.cloudjit.tracer.test.Storm;
import java.io.BufferedReader;
import java.io.File;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.jar.JarOutputStream;
import java.util.jar.Manifest;
import java.util.zip.ZipEntry;
import java.util.zip.ZipOutputStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Runs programs with and without the finished agent. */
class AgentTest {
    private static final String JAR = System.getProperty("tracer.jar");

    private static final String PROGRAMS = Path.of("target", "test-classes").toAbsolutePath().toString();

    @TempDir
    Path out;

    private List<String> command(String agent, Class<?> main, String... arguments) {
        List<String> command = new ArrayList<>(List.of(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(), "-Xmx256m", "-cp", PROGRAMS));
        if (agent != null) {
            command.add("-javaagent:" + JAR + "=" + agent);
        }
        command.add(main.getName());
        command.addAll(List.of(arguments));
        return command;
    }

    private static String run(List<String> command) throws Exception {
        Process process = new ProcessBuilder(command).redirectErrorStream(true).start();
        String output = new String(process.getInputStream().readAllBytes());
        assertTrue(process.waitFor(60, TimeUnit.SECONDS), output);
        return output + "exit code " + process.exitValue();
    }

    private Trace trace() {
        Trace trace = new Trace();
        Known.read(out.resolve(TraceFile.NAME).toFile(), trace);
        return trace;
    }

    @Test
    void aProgramBehavesTheSameAndIsRecorded() throws Exception {
        String plain = run(command(null, Sample.class));
        assertEquals(plain, run(command("out=" + out, Sample.class)));
        Trace trace = trace();
        String sample = "dev.cloudjit.tracer.test.Sample";
        assertTrue(trace.types.keySet().containsAll(List.of(
                "no.such.Type", "java.lang.String[]", "sun.text.resources.cldr.ext.FormatData_de_AT", "sun.net.www.protocol.http.Handler", "int[][]", "java.lang.Thread", sample + "$Loaded", sample + "$Shape", sample + "$Bean[]", sample + "$Bean[][]",
                "{\"proxy\":[\"" + sample + "$Greeter\"]}")), trace.types.keySet()::toString);
        assertEquals(java.util.Set.of("<init>()"), trace.types.get(sample + "$Bean").methods);
        assertEquals(java.util.Set.of("proxyClassLookup(java.lang.invoke.MethodHandles$Lookup)"), trace.types.get("{\"proxy\":[\"" + sample + "$Greeter\"]}").methods);
        assertEquals(java.util.Set.of("fixed", "counter"), trace.types.get(sample + "$Bean").fields);
        assertEquals(java.util.Set.of("fixed"), trace.types.get(sample + "$Bean").finalFields);
        assertEquals(java.util.Set.of("inherited()"), trace.types.get(sample + "$Base").methods);
        assertEquals(java.util.Set.of("radius()"), trace.types.get(sample + "$Circle").methods);
        assertEquals(java.util.Set.of("parseInt(java.lang.String)"), trace.types.get("java.lang.Integer").methods);
        for (String type : List.of(sample + "$Point", "java.util.ArrayList", "java.lang.Long", "java.lang.Number", "java.lang.invoke.SerializedLambda")) {
            assertEquals(Trace.SERIALIZABLE, trace.types.get(type).flags.get(), type);
        }
        assertTrue(trace.resources.containsAll(List.of(
                "{\"glob\":\"dev/cloudjit/tracer/test/none.txt\"}", "{\"module\":\"java.base\",\"glob\":\"java/lang/Object.class\"}",
                "{\"glob\":\"a\\\\*b.txt\"}", "{\"glob\":\"META-INF/services/" + sample + "$Greeter\"}", "{\"bundle\":\"no.Bundle\"}")), trace.resources::toString);
        // What the JVM and the JDK do for themselves is not there.
        for (String type : List.of(sample + "$Linked", sample + "$Colour", "", "a/b", "java.lang.Object")) {
            assertFalse(trace.types.containsKey(type), type);
        }
        assertTrue(trace.types.size() < 40, trace.types.keySet()::toString);
    }

    @Test
    void foldersThatAreListedAreRecorded() throws Exception {
        Path archive = zip("own.jar", "data/a.txt", "data/deep/b.txt", "else/c.txt");
        Path other = zip("other.zip", "foreign/d.txt");
        List<String> plain = command(null, Folders.class, other.toString());
        List<String> traced = command("out=" + out, Folders.class, other.toString());
        for (List<String> c : List.of(plain, traced)) {
            c.set(c.indexOf("-cp") + 1, PROGRAMS + File.pathSeparator + archive);
        }
        assertEquals(run(plain), run(traced));
        Trace trace = trace();
        assertTrue(trace.resources.containsAll(List.of("{\"glob\":\"data\"}", "{\"glob\":\"data/deep\"}")), trace.resources::toString);
        for (String none : List.of("foreign", "else")) {
            assertFalse(trace.resources.contains("{\"glob\":\"" + none + "\"}"), none);
        }
    }

    private Path zip(String name, String... files) throws IOException {
        Path zip = out.resolve(name);
        try (var stream = new ZipOutputStream(Files.newOutputStream(zip))) {
            for (String file : files) {
                stream.putNextEntry(new ZipEntry(file));
            }
        }
        return zip;
    }

    @Test
    void librariesOfTheDesktopAreRead() throws Exception {
        assertEquals(run(command(null, Desktop.class)), run(command("out=" + out, Desktop.class)));
        Trace trace = trace();
        // By its name in the library, and by the name of a native method of its own.
        assertTrue(trace.types.get("java.awt.GraphicsEnvironment").methods.contains("isHeadless()"));
        assertTrue(trace.types.get("java.awt.image.BufferedImage").fields.contains("raster"));
        assertTrue(trace.types.get("java.awt.image.ColorModel").fields.contains("nBits")); // its descriptor is the end of another
        assertTrue(trace.types.get("sun.java2d.pipe.RegionIterator").fields.contains("region")); // is handed to native code by another
        for (String type : List.of("java.awt.GraphicsEnvironment", "java.awt.image.BufferedImage", "java.awt.image.ColorModel")) {
            assertEquals(Trace.JNI, trace.types.get(type).flags.get() & Trace.JNI, type);
        }
    }

    @Test
    void ownersOfNativeMethods() {
        assertEquals("a/b/C", NativeLibraries.ownerOf("Java_a_b_C_method"));
        assertEquals("a/B_c$D", NativeLibraries.ownerOf("Java_a_B_1c_00024D_m_1n__ILjava_lang_String_2"));
        for (String none : List.of("Java_", "Java_x", "Java__x", "Java_a_0zzzz_m", "Java_a_000")) {
            assertNull(NativeLibraries.ownerOf(none), none);
        }
    }

    @Test
    void aCrashLeavesTheLastFlushAndHaltLeavesAll() throws Exception {
        Process process = new ProcessBuilder(command("out=" + out, Sample.class, "hang")).redirectErrorStream(true).start();
        try (BufferedReader reader = new BufferedReader(new InputStreamReader(process.getInputStream()))) {
            for (String line; (line = reader.readLine()) != null && !line.equals("ready"); ) {
                // Until it has done everything.
            }
            Thread.sleep(1500); // a web application that lives for two seconds must leave its trace
        } finally {
            process.destroyForcibly().waitFor();
        }
        assertTrue(trace().types.containsKey("dev.cloudjit.tracer.test.Sample$Point"));
        Files.delete(out.resolve(TraceFile.NAME));
        run(command("out=" + out + ",interval=60000", Sample.class, "halt"));
        assertTrue(trace().types.containsKey("dev.cloudjit.tracer.test.Sample$Point"));
    }

    @Test
    void whatWasKnownIsKept() throws Exception {
        Path known = out.resolve("known.json");
        Files.writeString(known, """
                {"reflection": [{"type": "a.B", "jniAccessible": true, "fields": [{"name": "f", "allowWrite": true}],
                  "methods": [{"name": "m"}, {"name": "n", "parameterTypes": ["int", "a.B[]"]}]}, {"type": {"proxy": ["a.I"]}}],
                 "resources": [{"glob": "x/**"}]}""");
        run(command("out=" + out + ",merge=" + known, Sample.class));
        Trace trace = trace();
        assertEquals(java.util.Set.of("m(*)", "n(int,a.B[])"), trace.types.get("a.B").methods);
        assertEquals(java.util.Set.of("f"), trace.types.get("a.B").finalFields);
        assertTrue(trace.types.containsKey("{\"proxy\":[\"a.I\"]}"));
        assertTrue(trace.resources.contains("{\"glob\":\"x/**\"}"));
        assertTrue(trace.types.containsKey("no.such.Type"));
    }

    @Test
    void threadsLoadersAndHiddenClassesAtOnce() throws Exception {
        assertEquals(run(command(null, Storm.class)), run(command("out=" + out, Storm.class)));
        Trace trace = trace();
        assertEquals(java.util.Set.of("<init>()", "run()"), trace.types.get("dev.cloudjit.tracer.test.Storm$Work").methods);
        assertTrue(trace.types.containsKey("generated.Name15x19"));
        assertFalse(trace.types.keySet().stream().anyMatch(name -> name.contains("/")), "a hidden class was recorded");
    }

    @ParameterizedTest
    @ValueSource(strings = {"storm", "names", "exit", "hook", "unload", "overflow", "memory", "properties", "loader", "uncaught"})
    void hostileProgramsBehaveTheSame(String what) throws Exception {
        List<String> plain = command(null, Hostile.class, what);
        List<String> traced = command("out=" + out, Hostile.class, what);
        assertEquals(run(plain), run(traced));
        String hostile = Hostile.class.getName();
        String last = switch (what) {
            case "names" -> "generated.some.longer.packagename.Name99000";
            case "storm", "unload", "loader" -> hostile + "$Target";
            default -> hostile + "$Last";
        };
        assertTrue(trace().types.containsKey(last), trace().types.keySet()::toString);
    }

    /** Whichever comes first: the later one must not undo what the earlier did to the JDK's classes. */
    @ParameterizedTest
    @ValueSource(booleans = {true, false})
    void programsWithAgentsOfTheirOwn(boolean first) throws Exception {
        Path jar = otherAgent();
        List<String> plain = command(null, Sample.class);
        plain.add(1, "-javaagent:" + jar);
        List<String> both = command("out=" + out, Sample.class);
        both.add(first ? 1 : both.size() - 1, "-javaagent:" + jar);
        assertEquals(run(plain), run(both));
        assertEquals(java.util.Set.of("inherited()"), trace().types.get("dev.cloudjit.tracer.test.Sample$Base").methods);
        assertTrue(trace().types.containsKey("no.such.Type"));
    }

    private Path otherAgent() throws IOException {
        Manifest manifest = new Manifest();
        manifest.getMainAttributes().putValue("Manifest-Version", "1.0");
        manifest.getMainAttributes().putValue("Premain-Class", OtherAgent.class.getName());
        manifest.getMainAttributes().putValue("Can-Retransform-Classes", "true");
        Path jar = out.resolve("other.jar");
        try (JarOutputStream to = new JarOutputStream(Files.newOutputStream(jar), manifest)) {
            String name = OtherAgent.class.getName().replace('.', '/') + ".class";
            to.putNextEntry(new ZipEntry(name));
            to.write(Files.readAllBytes(Path.of(PROGRAMS, name)));
        }
        return jar;
    }

    @Test
    void wrongArgumentsAreSaid() throws Exception {
        for (Map.Entry<String, String> wrong : Map.of(
                "", "unknown argument", "out=/nowhere", "must name a folder", "out=" + out + ",interval=x", "no positive number",
                "out=" + out + ",merge=" + out.resolve("none"), "cannot be read").entrySet()) {
            String output = run(command(wrong.getKey(), Sample.class));
            assertTrue(output.contains(wrong.getValue()) && output.endsWith("exit code 1"), output);
        }
    }
}
