package dev.cloudjit.tracer;

import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentMap;
import java.util.concurrent.atomic.AtomicInteger;

/**
 * What was seen so far. Everything only grows, and all of it is strings, so that it keeps no
 * class of the program alive. Safe for concurrent use; nothing blocks for long.
 */
final class Trace {
    static final int UNSAFE = 1;
    static final int SERIALIZABLE = 2;
    static final int JNI = 4;

    /**
     * How many types, resources and members of a type are kept at most: a program that looks up
     * ever new names must not fill its memory with them.
     */
    private static final int LIMIT = 100_000;

    /** One type: its members and flags. */
    static final class Type {
        final AtomicInteger flags = new AtomicInteger();
        final Set<String> methods = ConcurrentHashMap.newKeySet(4);
        final Set<String> fields = ConcurrentHashMap.newKeySet(4);
        final Set<String> finalFields = ConcurrentHashMap.newKeySet(1);
    }

    final ConcurrentMap<String, Type> types = new ConcurrentHashMap<>();
    /** JSON of the entries of the section "resources". */
    final Set<String> resources = ConcurrentHashMap.newKeySet();

    /** Counts changes; read by who writes the trace. */
    final AtomicInteger version = new AtomicInteger();
    private volatile Thread writer;

    void wake(Thread writer) {
        this.writer = writer;
    }

    private void changed() {
        version.incrementAndGet();
        Thread thread = writer;
        if (thread != null) {
            java.util.concurrent.locks.LockSupport.unpark(thread);
        }
    }

    /** Returns the entry of a type, or null if there are too many. */
    Type type(String descriptor) {
        Type type = types.get(descriptor);
        if (type == null && types.size() < LIMIT) {
            Type made = new Type();
            type = types.putIfAbsent(descriptor, made);
            if (type == null) {
                type = made;
                changed();
            }
        }
        return type;
    }

    void flag(String descriptor, int flag) {
        Type type = type(descriptor);
        if (type != null && (type.flags.get() & flag) == 0) {
            type.flags.getAndUpdate(new Or(flag));
            changed();
        }
    }

    private record Or(int flag) implements java.util.function.IntUnaryOperator {
        @Override
        public int applyAsInt(int flags) {
            return flags | flag;
        }
    }

    void method(String descriptor, String signature) {
        Type type = type(descriptor);
        if (type != null) {
            add(type.methods, signature);
        }
    }

    void field(String descriptor, String name, boolean writtenFinal) {
        Type type = type(descriptor);
        if (type != null) {
            add(type.fields, name);
            if (writtenFinal) {
                add(type.finalFields, name);
            }
        }
    }

    void resource(String module, String glob) {
        add(resources, resourceEntry(module, glob));
    }

    static String resourceEntry(String module, String glob) {
        StringBuilder s = new StringBuilder("{");
        if (module != null) {
            Json.string(s.append("\"module\":"), module).append(',');
        }
        return Json.string(s.append("\"glob\":"), glob).append('}').toString();
    }

    void bundle(String name) {
        add(resources, Json.string(new StringBuilder("{\"bundle\":"), name).append('}').toString());
    }

    void add(Set<String> set, String element) {
        if (!set.contains(element) && set.size() < LIMIT && set.add(element)) {
            changed();
        }
    }
}
