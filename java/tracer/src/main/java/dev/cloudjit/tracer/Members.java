package dev.cloudjit.tracer;

import java.lang.reflect.Field;
import java.lang.reflect.Method;
import java.util.Arrays;

/** Finds which type declares a member that a method handle was made for. */
final class Members {
    private Members() {}

    static Method method(Class<?> c, String name, Class<?>[] parameters) {
        for (Class<?> t = c; t != null; t = t.getSuperclass()) {
            for (Method m : t.getDeclaredMethods()) {
                if (m.getName().equals(name) && Arrays.equals(m.getParameterTypes(), parameters)) {
                    return m;
                }
            }
        }
        for (Class<?> t = c; t != null; t = t.getSuperclass()) {
            for (Class<?> i : t.getInterfaces()) {
                Method m = method(i, name, parameters);
                if (m != null) {
                    return m;
                }
            }
        }
        return c.isInterface() ? method(Object.class, name, parameters) : null;
    }

    static Field field(Class<?> c, String name) {
        for (Class<?> t = c; t != null; t = t.getSuperclass()) {
            for (Field f : t.getDeclaredFields()) {
                if (f.getName().equals(name)) {
                    return f;
                }
            }
            for (Class<?> i : t.getInterfaces()) {
                Field f = field(i, name);
                if (f != null) {
                    return f;
                }
            }
        }
        return null;
    }
}
