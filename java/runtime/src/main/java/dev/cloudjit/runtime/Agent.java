package dev.cloudjit.runtime;

import dev.cloudjit.runtime.api.RuntimeApi;
import java.io.File;
import java.lang.instrument.Instrumentation;

/**
 * Gets a process ready to be saved: it lets {@link Checkpoint} know which classes are loaded, and changes none.
 *
 * <p>A handler's process is told that it will be saved by the runtime client. Beside an application, which knows nothing of
 * the platform, a thread waits for that. What the agent itself brings into the process (a variable, an entry of the
 * class path) the application is not to see.
 */
public final class Agent {
    /** The address of the Runtime API in the sandbox of an application that can be saved. */
    private static final String ENDPOINT = "CLOUDJIT_CHECKPOINT_API";

    /** Where the published org.crac library looks for who calls its hooks: a package. */
    private static final String CRAC_PROPERTY = "org.crac.Core.Compat";

    /** Ends the argument where the process is saved before its first invocation. */
    private static final String EARLY = ",early";

    private Agent() {}

    /** The argument is the path of the agent's JAR. */
    public static void premain(String argument, Instrumentation instrumentation) {
        boolean early = argument != null && argument.endsWith(EARLY);
        String jar = early ? argument.substring(0, argument.length() - EARLY.length()) : argument;
        String endpoint = System.getenv(ENDPOINT);
        Checkpoint checkpoint = new Checkpoint(instrumentation, early, early && endpoint == null);
        if (System.getProperty(CRAC_PROPERTY) == null && ClassLoader.getSystemResource("org/crac/Core.class") != null) {
            System.setProperty(CRAC_PROPERTY, "dev.cloudjit.runtime.crac");
        }
        if (endpoint == null) {
            Main.copying = checkpoint;
            return;
        }
        checkpoint.environment.remove(ENDPOINT);
        hide(jar);
        new CheckpointThread(new RuntimeApi(endpoint), checkpoint).start();
    }

    /** Takes the agent's JAR out of the class path that programs are told of. */
    private static void hide(String jar) {
        String path = System.getProperty("java.class.path");
        if (jar != null && path != null && path.endsWith(File.pathSeparator + jar)) {
            System.setProperty("java.class.path", path.substring(0, path.length() - jar.length() - 1));
        }
    }
}
