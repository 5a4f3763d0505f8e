package dev.cloudjit.runtime;

import java.lang.instrument.Instrumentation;

/** Gets a process ready to be saved: it lets {@link Checkpoint} know which classes are loaded, and changes none. */
public final class Agent {
    private Agent() {}

    public static void premain(String arguments, Instrumentation instrumentation) {
        Main.copying = new Checkpoint(instrumentation);
    }
}
