package dev.cloudjit.runtime;

import java.lang.reflect.Field;
import java.util.Map;
import sun.misc.Unsafe;

/** The variables that System.getenv shows, which the JDK lets nobody change. */
final class Environment {
    /** Null: this JDK keeps them elsewhere, and they stay as they are. */
    private final Map<String, String> variables;

    @SuppressWarnings("unchecked")
    Environment(Unsafe unsafe) {
        Map<String, String> found = null;
        try {
            Object shown = System.getenv();
            // Collections.UnmodifiableMap.m, a ProcessEnvironment.StringEnvironment.
            Field wrapped = shown.getClass().getDeclaredField("m");
            found = (Map<String, String>) unsafe.getObject(shown, unsafe.objectFieldOffset(wrapped));
        } catch (NoSuchFieldException | ClassCastException e) {
            // As said above.
        }
        variables = found;
    }

    void set(String name, String value) {
        if (variables != null) {
            variables.put(name, value);
        }
    }

    void remove(String name) {
        if (variables != null) {
            variables.remove(name);
        }
    }
}
