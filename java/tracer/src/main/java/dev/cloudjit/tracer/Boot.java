package dev.cloudjit.tracer;

import java.io.IOException;
import java.io.InputStream;
import java.lang.instrument.Instrumentation;
import java.lang.reflect.InvocationTargetException;
import java.util.ArrayList;
import java.util.Enumeration;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.jar.JarEntry;
import java.util.jar.JarFile;
import jdk.internal.misc.Unsafe;

/**
 * Gives the agent to the boot loader, since the JDK's own classes will call it. The classes are
 * defined one by one: a jar appended to the boot class path would make the JVM drop its archive
 * of shared classes and print a warning about it on the program's standard output.
 */
public final class Boot {
    private Boot() {}

    /** Called by {@link Agent}. */
    public static void start(String arguments, Instrumentation instrumentation) throws Exception {
        Module base = Object.class.getModule();
        instrumentation.redefineModule(base, Set.of(), Map.of("jdk.internal.misc", Set.of(Boot.class.getModule())), Map.of(), Set.of(), Map.of());
        String jar = Boot.class.getProtectionDomain().getCodeSource().getLocation().toURI().getPath();
        define(jar);
        try {
            Class.forName("dev.cloudjit.tracer.Start", true, null)
                    .getMethod("start", String.class, Instrumentation.class)
                    .invoke(null, arguments, instrumentation);
        } catch (InvocationTargetException e) {
            throw e.getCause() instanceof Exception cause ? cause : e;
        }
    }

    private static void define(String path) throws IOException {
        List<byte[]> waiting = new ArrayList<>();
        try (JarFile jar = new JarFile(path)) {
            for (Enumeration<JarEntry> entries = jar.entries(); entries.hasMoreElements(); ) {
                JarEntry entry = entries.nextElement();
                String name = entry.getName();
                if (name.endsWith(".class") && !name.endsWith("/Agent.class") && !name.endsWith("/Boot.class") && !name.endsWith("package-info.class")) {
                    try (InputStream in = jar.getInputStream(entry)) {
                        waiting.add(in.readAllBytes());
                    }
                }
            }
        }
        while (!waiting.isEmpty()) { // a class can be defined when its supertypes are
            List<byte[]> later = new ArrayList<>();
            NoClassDefFoundError last = null;
            for (byte[] bytes : waiting) {
                try {
                    Unsafe.getUnsafe().defineClass(null, bytes, 0, bytes.length, null, null);
                } catch (NoClassDefFoundError e) {
                    later.add(bytes);
                    last = e;
                }
            }
            if (later.size() == waiting.size()) {
                throw last;
            }
            waiting = later;
        }
    }
}
