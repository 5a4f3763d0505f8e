package dev.cloudjit.tracer;

import java.lang.instrument.Instrumentation;

/** The entry of the agent. It is compiled for Java 8 so that any JVM can say what is wrong. */
public final class Agent {
    private Agent() {}

    /** Called by the JVM before main; arguments are those of {@code Options}. */
    public static void premain(String arguments, Instrumentation instrumentation) throws Exception {
        String version = System.getProperty("java.specification.version", "?");
        if (version.startsWith("1.") || Integer.parseInt(version) < 25) {
            fail("CloudJIT's tracer needs Java 25 or later, and this is Java " + version + ". Run the function on JDK 25, or without -javaagent.");
        }
        try {
            // By name: nothing that was compiled for a later Java may be loaded before the check.
            Class.forName("dev.cloudjit.tracer.Boot").getMethod("start", String.class, Instrumentation.class).invoke(null, arguments, instrumentation);
        } catch (java.lang.reflect.InvocationTargetException e) {
            if (e.getCause() instanceof IllegalArgumentException) {
                fail("CloudJIT's tracer: " + e.getCause().getMessage());
            }
            throw e;
        }
    }

    private static void fail(String sentence) {
        System.err.println(sentence);
        System.exit(1);
    }
}
