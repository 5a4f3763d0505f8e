package dev.cloudjit.tracer;

import java.lang.instrument.Instrumentation;
import java.lang.instrument.UnmodifiableClassException;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import jdk.internal.access.SharedSecrets;

/** Puts the agent together. */
public final class Start {
    private Start() {}

    /**
     * Starts tracing. Called by {@link Agent} from another class loader.
     *
     * @throws IllegalArgumentException for arguments that make no sense
     */
    public static void start(String arguments, Instrumentation instrumentation) throws UnmodifiableClassException {
        Options options = Options.parse(arguments);
        Trace trace = new Trace();
        if (options.merge() != null) {
            Known.read(options.merge(), trace);
        }
        // For telling who called ClassLoader.loadClass: see Callers.
        Set<Module> us = Set.of(Start.class.getModule());
        instrumentation.redefineModule(Object.class.getModule(), Set.of(), Map.of("jdk.internal.access", us, "jdk.internal.reflect", us), Map.of(), Set.of(), Map.of());

        NativeLibraries libraries = new NativeLibraries(trace, instrumentation);
        TraceFile file = new TraceFile(trace, libraries, options);
        trace.wake(file);
        weave(instrumentation);
        SharedSecrets.getJavaLangAccess().registerShutdownHook(LAST_AT_EXIT, false, new Flush());
        file.start();
        Hooks.install(trace, file, libraries);
        offerFlush();
    }

    /**
     * Gives the runtime client what it calls before each answer. It takes it out of the properties
     * at once; no other program is given it, since some methods of Properties fail on what is no
     * string.
     */
    private static void offerFlush() {
        String command = System.getProperty("sun.java.command", "");
        if (command.equals(CLIENT) || command.startsWith(CLIENT.concat(" "))) {
            System.getProperties().put("dev.cloudjit.tracer.flush", new Flush());
        }
    }

    /** The last of the JDK's own places for work at exit: the program's hooks have ended by then. */
    private static final int LAST_AT_EXIT = 9;

    private static final String CLIENT = "dev.cloudjit.runtime.Main";

    private static final class Flush implements Runnable {
        @Override
        public void run() {
            Hooks.flush();
        }
    }

    private static void weave(Instrumentation instrumentation) throws UnmodifiableClassException {
        Map<String, List<Points.Point>> points = Points.all();
        List<Class<?>> classes = new ArrayList<>();
        for (String name : points.keySet()) {
            try {
                classes.add(Class.forName(name, false, null));
            } catch (ClassNotFoundException e) {
                // A JDK without that module.
            }
        }
        // It stays: where an agent of the program's own changes these classes later, the JVM makes
        // them anew from their original code and the transformers that there are.
        Weaver weaver = new Weaver(points);
        instrumentation.addTransformer(weaver, true);
        instrumentation.retransformClasses(classes.toArray(new Class<?>[0]));
        for (Throwable failure : weaver.failures) {
            System.err.println("CloudJIT's tracer sees less than it should on this JDK: " + failure);
        }
    }
}
