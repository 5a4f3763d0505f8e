package dev.cloudjit.runtime;

import dev.cloudjit.runtime.crac.Core;
import java.io.DataInputStream;
import java.io.FileInputStream;
import java.io.IOException;
import java.lang.instrument.Instrumentation;
import java.lang.ref.Reference;
import java.lang.reflect.Field;
import java.lang.reflect.Modifier;
import java.security.SecureRandom;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Collections;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Random;
import java.util.Set;
import java.util.SplittableRandom;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.atomic.AtomicLong;
import sun.misc.Unsafe;

/**
 * What has to be done before the process is saved, and in each of its copies.
 *
 * <p>All copies begin with the same memory. So every source of random numbers that can be reached from a static field is
 * looked for before, and gets a new seed after: Random, SecureRandom, SplittableRandom, and those behind Math.random and
 * ThreadLocalRandom. Generators of other classes, and those that only a running thread's stack knows, are not found.
 */
final class Checkpoint implements Copying {
    /** Beyond this many objects the search ends; a Spring application has a million. */
    private static final int MAX_OBJECTS = 5_000_000;

    private final Instrumentation instrumentation;
    private final List<Random> randoms = new ArrayList<>();
    private final List<SplittableRandom> splittable = new ArrayList<>();
    private final Unsafe unsafe;

    Checkpoint(Instrumentation instrumentation) {
        this.instrumentation = instrumentation;
        try {
            Field theUnsafe = Unsafe.class.getDeclaredField("theUnsafe");
            theUnsafe.setAccessible(true);
            unsafe = (Unsafe) theUnsafe.get(null);
        } catch (ReflectiveOperationException e) {
            throw Fault.of(e, true);
        }
    }

    /** Runs the hooks of CRaC and finds the generators. Throws a Fault if a hook fails. */
    @Override
    public void before(Object handler) {
        try {
            Core.getGlobalContext().beforeCheckpoint(null);
        } catch (Throwable t) {
            throw Fault.of(t, true);
        }
        search(handler);
        System.gc(); // what is not used any more would be in every copy
    }

    /** Makes a copy differ from all others, and runs the hooks. */
    @Override
    public void after() {
        try (DataInputStream in = new DataInputStream(new FileInputStream("/dev/urandom"))) {
            renew(in);
        } catch (IOException | ReflectiveOperationException e) {
            throw Fault.of(e, true);
        }
        try {
            Core.getGlobalContext().afterRestore(null);
        } catch (Throwable t) {
            throw Fault.of(t, true);
        }
    }

    private void renew(DataInputStream in) throws IOException, ReflectiveOperationException {
        byte[] seed = new byte[32];
        for (Random random : randoms) {
            try {
                if (random instanceof SecureRandom) {
                    in.readFully(seed);
                    ((SecureRandom) random).setSeed(seed);
                } else {
                    random.setSeed(in.readLong());
                }
            } catch (UnsupportedOperationException e) {
                // A ThreadLocalRandom: its state is its threads'.
            }
        }
        for (SplittableRandom random : splittable) {
            unsafe.putLong(random, unsafe.objectFieldOffset(SplittableRandom.class.getDeclaredField("seed")), in.readLong());
        }
        counter(ThreadLocalRandom.class, "seeder", in.readLong());
        counter(SplittableRandom.class, "defaultGen", in.readLong());
        counter(Random.class, "seedUniquifier", in.readLong());
        long offset = unsafe.objectFieldOffset(Thread.class.getDeclaredField("threadLocalRandomSeed"));
        for (Thread thread : Thread.getAllStackTraces().keySet()) {
            unsafe.putLong(thread, offset, in.readLong());
        }
    }

    private void counter(Class<?> type, String name, long value) {
        try {
            Field field = type.getDeclaredField(name);
            Object object = unsafe.getObject(unsafe.staticFieldBase(field), unsafe.staticFieldOffset(field));
            if (object instanceof AtomicLong) {
                ((AtomicLong) object).set(value);
            }
        } catch (NoSuchFieldException e) {
            // This release does without.
        }
    }

    private void search(Object root) {
        Set<Object> seen = Collections.newSetFromMap(new IdentityHashMap<>(1 << 16));
        ArrayDeque<Object> next = new ArrayDeque<>();
        add(root, seen, next);
        for (Class<?> type : instrumentation.getAllLoadedClasses()) {
            // Of the JDK's own state only what a static field names itself: the rest is large, and nobody's.
            statics(type, seen, type.getClassLoader() == null ? null : next);
        }
        while (!next.isEmpty() && seen.size() < MAX_OBJECTS) {
            Object object = next.poll();
            if (object instanceof Object[]) {
                for (Object element : (Object[]) object) {
                    add(element, seen, next);
                }
                continue;
            }
            for (Class<?> type = object.getClass(); type != null && type != Object.class; type = type.getSuperclass()) {
                for (Field field : fields(type)) {
                    if (!Modifier.isStatic(field.getModifiers()) && !field.getType().isPrimitive()) {
                        add(value(object, field), seen, next);
                    }
                }
            }
        }
    }

    private static Field[] fields(Class<?> type) {
        try {
            return type.getDeclaredFields();
        } catch (LinkageError e) { // a field of a class that is not there
            return new Field[0];
        }
    }

    private void statics(Class<?> type, Set<Object> seen, ArrayDeque<Object> next) {
        if (type.isArray() || type.isPrimitive()) {
            return;
        }
        for (Field field : fields(type)) {
            if (Modifier.isStatic(field.getModifiers()) && !field.getType().isPrimitive()) {
                try {
                    add(unsafe.getObject(unsafe.staticFieldBase(field), unsafe.staticFieldOffset(field)), seen, next);
                } catch (UnsupportedOperationException e) {
                    add(reflected(null, field), seen, next);
                }
            }
        }
    }

    /** Of a hidden class or a record only reflection gets at the fields. */
    private Object value(Object object, Field field) {
        try {
            return unsafe.getObject(object, unsafe.objectFieldOffset(field));
        } catch (UnsupportedOperationException e) {
            return reflected(object, field);
        }
    }

    private static Object reflected(Object object, Field field) {
        try {
            field.setAccessible(true);
            return field.get(object);
        } catch (ReflectiveOperationException | RuntimeException e) {
            return null;
        }
    }

    private void add(Object object, Set<Object> seen, ArrayDeque<Object> next) {
        if (object == null || object instanceof String || object instanceof Class || object instanceof Number
                || object instanceof Reference || object.getClass().getComponentType() != null && object.getClass().getComponentType().isPrimitive()
                || object == this || internal(object) || !seen.add(object)) {
            return;
        }
        if (object instanceof Random) {
            randoms.add((Random) object);
        } else if (object instanceof SplittableRandom) {
            splittable.add((SplittableRandom) object);
        }
        if (next != null) {
            next.add(object);
        }
    }

    private static boolean internal(Object object) {
        if (object instanceof Thread || object instanceof ClassLoader || object instanceof Module) {
            return true;
        }
        String name = object.getClass().getName();
        return (name.startsWith("java.lang.invoke.") || name.startsWith("jdk.internal.") || name.startsWith("sun."))
                && !(object instanceof Random);
    }
}
