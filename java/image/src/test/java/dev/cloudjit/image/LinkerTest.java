package dev.cloudjit.image;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import javax.tools.ToolProvider;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** A library with an optional part, and a program that finds out at run time that it is missing. */
class LinkerTest {
    @TempDir
    Path dir;

    Path classes;
    Path out;

    @BeforeEach
    void compile() throws Exception {
        classes = dir.resolve("classes");
        out = dir.resolve("out");
        Map<String, String> sources = Map.of(
                "optional/Stream.java", "package optional; public class Stream extends java.io.InputStream { public int read() { return -1; } }",
                "library/Adapter.java", """
                        package library;
                        public class Adapter implements Comparable<String> {
                            static { System.out.println("never printed"); }
                            public static final String NAME = new String("adapter");
                            private java.io.InputStream in = stream(); // what verification needs the missing class for
                            private static optional.Stream stream() { return new optional.Stream(); }
                            public static boolean matches(int b) { return b == 1; }
                            public int compareTo(String s) { return 0; }
                        }
                        """,
                "library/Extended.java", "package library; public class Extended extends optional.Stream { }",
                "library/Sound.java", "package library; public class Sound { public static String sound() { return \"sound\"; } public static Object lazily() { return new optional.Stream(); } }",
                "app/App.java", """
                        package app;
                        import library.*;
                        public class App {
                            static void attempt(String what, Runnable r) {
                                try {
                                    r.run();
                                    System.out.println(what + ": fine");
                                } catch (Throwable t) {
                                    System.out.println(what + ": " + t.getClass().getName());
                                }
                            }
                            public static void main(String[] a) {
                                Object o = a;
                                attempt("test", () -> System.out.println(o instanceof Adapter));
                                attempt("literal", () -> System.out.println(Adapter.class + " " + Comparable.class.isAssignableFrom(Adapter.class)));
                                for (int i = 0; i < 2; i++) {
                                    attempt("static call", () -> Adapter.matches(1));
                                    attempt("field", () -> System.out.println(Adapter.NAME));
                                    attempt("instance", () -> new Adapter());
                                }
                                attempt("extended", () -> new Extended());
                                attempt("sound", () -> System.out.println(Sound.sound()));
                                attempt("lazily", () -> Sound.lazily());
                            }
                        }
                        """);
        compile(sources);
        Files.delete(classes.resolve("optional/Stream.class"));
    }

    private void compile(Map<String, String> sources) throws IOException {
        List<String> args = new ArrayList<>(List.of("-d", classes.toString()));
        for (var e : sources.entrySet()) {
            Path file = dir.resolve("src").resolve(e.getKey());
            Files.createDirectories(file.getParent());
            Files.writeString(file, e.getValue());
            args.add(file.toString());
        }
        assertEquals(0, ToolProvider.getSystemJavaCompiler().run(null, null, null, args.toArray(String[]::new)));
    }

    private String java(String... args) throws IOException, InterruptedException {
        List<String> command = new ArrayList<>(List.of(System.getProperty("java.home") + "/bin/java"));
        command.addAll(List.of(args));
        Process p = new ProcessBuilder(command).redirectErrorStream(true).start();
        String output = new String(p.getInputStream().readAllBytes());
        assertEquals(0, p.waitFor(), output);
        return output;
    }

    private String link(String classPath) throws Exception {
        return java("-XX:+UnlockExperimentalVMOptions", "-XX:+EnableJVMCI", "-XX:-UseJVMCICompiler", "--add-modules=jdk.internal.vm.ci",
                "--add-exports=jdk.internal.vm.ci/jdk.vm.ci.meta=ALL-UNNAMED", "--add-exports=jdk.internal.vm.ci/jdk.vm.ci.runtime=ALL-UNNAMED",
                "-cp", System.getProperty("image.jar"), "dev.cloudjit.image.Linker", out.toString(), classPath);
    }

    @Test
    void onlyWhatCannotBeLinkedIsReplaced() throws Exception {
        String output = link(classes + ":" + dir.resolve("missing.jar"));
        assertTrue(output.contains("linker: 1 classes"), output);
        try (Stream<Path> files = Files.walk(out)) {
            assertEquals(List.of("library/Adapter.class"), files.filter(Files::isRegularFile).map(f -> out.relativize(f).toString()).toList());
        }
    }

    @Test
    void aProgramSeesNoDifference() throws Exception {
        String before = java("-cp", classes.toString(), "app.App");
        assertTrue(before.contains("static call: java.lang.NoClassDefFoundError"), before);
        assertTrue(before.contains("test: fine"), before);
        link(classes.toString());
        assertEquals(before, java("-cp", out + File.pathSeparator + classes, "app.App"));
        // Nothing is left that needs verification.
        assertTrue(link(out.toString()).contains("linker: 0 classes"));
    }

    /** A library that refuses in a binary what it does on HotSpot goes on, and still takes what was made before. */
    @Test
    void springGeneratesClassesAsOnHotSpot() throws Exception {
        compile(Map.of(
                "org/springframework/cglib/core/AbstractClassGenerator.java", """
                        package org.springframework.cglib.core;
                        public class AbstractClassGenerator {
                            private static final boolean inNativeImage = System.getProperty("java.version") != null;
                            public static String generate(boolean there) {
                                if (there) { return "there"; }
                                if (inNativeImage) { throw new UnsupportedOperationException("in a binary"); }
                                return "generated";
                            }
                            public static boolean other() { return inNativeImage; }
                        }
                        """,
                "app/Generates.java", """
                        package app;
                        import org.springframework.cglib.core.AbstractClassGenerator;
                        public class Generates {
                            public static void main(String[] a) {
                                System.out.println(AbstractClassGenerator.generate(true) + AbstractClassGenerator.generate(false) + AbstractClassGenerator.other());
                            }
                        }
                        """));
        assertTrue(link(classes.toString()).contains("AbstractClassGenerator goes on as on HotSpot"));
        assertEquals("theregeneratedtrue", java("-cp", out + File.pathSeparator + classes, "app.Generates").strip());
    }
}
