package dev.cloudjit.runtime;

import dev.cloudjit.runtime.api.RuntimeApi;
import dev.cloudjit.runtime.crac.Core;
import java.io.DataInputStream;
import java.io.FileInputStream;
import java.io.IOException;
import java.lang.instrument.Instrumentation;
import java.lang.ref.Reference;
import java.lang.reflect.Field;
import java.lang.reflect.Modifier;
import java.net.URLDecoder;
import java.nio.charset.StandardCharsets;
import java.security.SecureRandom;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.Enumeration;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import java.util.SplittableRandom;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.atomic.AtomicLong;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLSession;
import javax.net.ssl.SSLSessionContext;
import sun.misc.Unsafe;

/**
 * What has to be done before the process is saved, and in each of its copies.
 *
 * <p>All copies begin with the same memory. So every source of random numbers that can be reached from a static field or
 * from a thread (what it runs, and its thread-local values) is looked for before, and gets a new seed after: Random,
 * SecureRandom, SplittableRandom and the JDK's other generators, those behind Math.random and ThreadLocalRandom, and
 * Kotlin's. TLS sessions end, so that no two copies go on with one. Generators of other classes, and those that only the
 * stack of a running method knows, are not found.
 */
final class Checkpoint implements Copying {
    /** Beyond this many objects the search ends; a Spring application has a million. */
    private static final int MAX_OBJECTS = 5_000_000;

    /** How long loading classes may take. 2,000 take half a second. */
    private static final long PRELOAD_NANOS = 3_000_000_000L;

    /**
     * How long after its start the process is saved at the earliest, unless hurried. Every five seconds HotSpot gives back the memory of
     * its compiler and its parser that is not used (ChunkPoolCleaner, src/hotspot/share/memory/arena.cpp). If it did not yet, each
     * copy does so as soon as it runs, while the function waits: hundreds or thousands of pages that it writes to for nothing.
     * And what waits for its compiler then is compiled once, and not in each copy.
     */
    private static final long LEAST_NANOS = 5_100_000_000L;

    private final long started = System.nanoTime();
    private final Instrumentation instrumentation;
    private final boolean early;
    private final boolean hurried;
    private final List<Random> randoms = new ArrayList<>();
    /** Generators whose state is their fields that change: whatever is written there is a seed. */
    private final List<Object> others = new ArrayList<>();
    private final List<SSLContext> tls = new ArrayList<>();
    private final Unsafe unsafe;
    final Environment environment;

    /**
     * Early: the process will have served nothing when it is saved. Hurried: it is saved at once. A deployment waits for it, and copies would gain a
     * millisecond only.
     */
    Checkpoint(Instrumentation instrumentation, boolean early, boolean hurried) {
        this.instrumentation = instrumentation;
        this.early = early;
        this.hurried = hurried;
        try {
            Field theUnsafe = Unsafe.class.getDeclaredField("theUnsafe");
            theUnsafe.setAccessible(true);
            unsafe = (Unsafe) theUnsafe.get(null);
            environment = new Environment(unsafe);
        } catch (ReflectiveOperationException e) {
            throw Fault.of(e, true);
        }
    }

    /**
     * Runs the hooks of CRaC, does what would else be done in the first invocation of each copy, and finds the generators.
     * Throws a Fault if a hook fails.
     */
    @Override
    public void before(RuntimeApi api, Object handler) {
        try {
            Core.getGlobalContext().beforeCheckpoint(null);
        } catch (Throwable t) {
            throw Fault.of(t, true);
        }
        new Priming().run(); // before the search, which so sees what this made
        if (early) {
            new Preload(Preload.room(), PRELOAD_NANOS).from(Arrays.asList(instrumentation.getAllLoadedClasses()));
        }
        search(handler);
        for (SSLContext context : tls) {
            end(context.getClientSessionContext());
            end(context.getServerSessionContext());
        }
        rehearse(api);
        if (!hurried) {
            await(started + LEAST_NANOS);
        }
        System.gc(); // what is not used any more would be in every copy
        rehearse(api); // again: the collection has made compiled methods slow for their next call (nmethod entry barriers)
    }

    /** Does what each copy does first: what it needs for that is loaded then, and lies where it has written to already. */
    private void rehearse(RuntimeApi api) {
        try {
            api.rehearse();
        } catch (IOException e) {
            throw Fault.of(e, true);
        }
        renew();
    }

    private static void await(long time) {
        try {
            for (long left; (left = time - System.nanoTime()) > 0;) {
                Thread.sleep(left / 1_000_000 + 1);
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt(); // the copies are slower, and as right
        }
    }

    private static void end(SSLSessionContext sessions) {
        if (sessions == null) {
            return;
        }
        for (Enumeration<byte[]> ids = sessions.getIds(); ids.hasMoreElements();) {
            SSLSession session = sessions.getSession(ids.nextElement());
            if (session != null) {
                session.invalidate();
            }
        }
    }

    /** Makes a copy differ from all others, and runs the hooks. */
    @Override
    public void after(Map<String, String> changed) {
        for (Map.Entry<String, String> variable : changed.entrySet()) {
            environment.set(variable.getKey(), variable.getValue());
        }
        renew();
        try {
            Core.getGlobalContext().afterRestore(null);
        } catch (Throwable t) {
            throw Fault.of(t, true);
        }
    }

    private void renew() {
        try (DataInputStream in = new DataInputStream(new FileInputStream("/dev/urandom"))) {
            renew(in);
        } catch (IOException | ReflectiveOperationException e) {
            throw Fault.of(e, true);
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
        for (Object random : others) {
            mix(random, in);
        }
        counter(ThreadLocalRandom.class, "seeder", in.readLong());
        counter(SplittableRandom.class, "defaultGen", in.readLong());
        counter(Random.class, "seedUniquifier", in.readLong());
        long offset = unsafe.objectFieldOffset(Thread.class.getDeclaredField("threadLocalRandomSeed"));
        for (Thread thread : threads()) {
            unsafe.putLong(thread, offset, in.readLong());
        }
    }

    /** All platform threads. Other than getAllStackTraces, it stops none of them. */
    private static List<Thread> threads() {
        ThreadGroup root = Thread.currentThread().getThreadGroup();
        while (root.getParent() != null) {
            root = root.getParent();
        }
        Thread[] threads = new Thread[32];
        int n;
        while ((n = root.enumerate(threads)) == threads.length) { // some may be missing
            threads = new Thread[2 * n];
        }
        return Arrays.asList(threads).subList(0, n);
    }

    /** Writes new numbers over the state of a generator, which is its fields that are not final. */
    private void mix(Object random, DataInputStream in) throws IOException {
        for (Class<?> type = random.getClass(); type != Object.class; type = type.getSuperclass()) {
            for (Field field : fields(type)) {
                if (Modifier.isStatic(field.getModifiers()) || Modifier.isFinal(field.getModifiers())) {
                    continue;
                }
                if (field.getType() == long.class) {
                    unsafe.putLong(random, unsafe.objectFieldOffset(field), in.readLong());
                } else if (field.getType() == int.class) {
                    unsafe.putInt(random, unsafe.objectFieldOffset(field), in.readInt());
                }
            }
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
        for (Thread thread : threads()) {
            add(thread, seen, next);
        }
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
                || object.getClass().getComponentType() != null && object.getClass().getComponentType().isPrimitive()
                || object == this || internal(object) || !seen.add(object)) {
            return;
        }
        if (object instanceof Reference) {
            // Of references only those of a ThreadLocalMap have a field of their own that matters.
            if (object.getClass().getName().equals("java.lang.ThreadLocal$ThreadLocalMap$Entry")) {
                add(threadLocal(object), seen, next);
            }
            return;
        }
        if (object instanceof Random) {
            randoms.add((Random) object);
        } else if (object instanceof SplittableRandom || isGenerator(object.getClass().getName())) {
            others.add(object);
        } else if (object instanceof SSLContext) {
            tls.add((SSLContext) object);
        }
        if (next != null) {
            next.add(object);
        }
    }

    /** Those of RandomGeneratorFactory, and Kotlin's Random(seed). */
    private static boolean isGenerator(String name) {
        return name.startsWith("jdk.random.") || name.startsWith("jdk.internal.random.") || name.equals("kotlin.random.XorWowRandom");
    }

    private Object threadLocal(Object entry) {
        try {
            return value(entry, entry.getClass().getDeclaredField("value"));
        } catch (NoSuchFieldException e) {
            return null;
        }
    }

    private static boolean internal(Object object) {
        if (object instanceof ThreadGroup || object instanceof ClassLoader || object instanceof Module) {
            return true;
        }
        String name = object.getClass().getName();
        return (name.startsWith("java.lang.invoke.") || name.startsWith("jdk.internal.") || name.startsWith("sun."))
                && !(object instanceof Random)
                && !isGenerator(name)
                && !name.startsWith("sun.net.httpserver."); // it leads to the handlers of the JDK's web server
    }
}
