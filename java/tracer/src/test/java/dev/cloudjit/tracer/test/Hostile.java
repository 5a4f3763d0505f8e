package dev.cloudjit.tracer.test;

import java.io.InputStream;
import java.io.OutputStream;
import java.io.PrintStream;
import java.lang.ref.WeakReference;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.util.ArrayList;
import java.util.List;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicLong;

/** Programs that a tracer could disturb; each prints what must be the same with and without it. */
public final class Hostile {
    private Hostile() {}

    public static class Target {
        public int add(int n) {
            return n + 1;
        }
    }

    public static class Last {}

    public static void main(String[] arguments) throws Throwable {
        switch (arguments[0]) {
            case "storm" -> storm();
            case "names" -> names();
            case "exit" -> exit();
            case "hook" -> hook();
            case "unload" -> unload();
            case "overflow" -> overflow();
            case "memory" -> memory();
            case "properties" -> properties();
            case "loader" -> loader();
            case "uncaught" -> throw new IllegalStateException((String) Class.forName(name("Last")).getMethod("toString").invoke("as told"));
            default -> throw new IllegalArgumentException(arguments[0]);
        }
    }

    private static String name(String simple) {
        return Hostile.class.getName() + "$" + simple;
    }

    /** A million calls on four threads. */
    private static void storm() throws Exception {
        AtomicLong sum = new AtomicLong();
        List<Thread> threads = new ArrayList<>();
        for (int i = 0; i < 4; i++) {
            threads.add(Thread.ofPlatform().start(() -> {
                try {
                    long mine = 0;
                    for (int n = 0; n < 62_500; n++) {
                        Class<?> c = Class.forName(name("Target"));
                        Object target = c.getConstructor().newInstance();
                        Method add = c.getMethod("add", int.class);
                        mine += (int) add.invoke(target, n);
                    }
                    sum.addAndGet(mine);
                } catch (ReflectiveOperationException e) {
                    e.printStackTrace();
                }
            }));
        }
        for (Thread thread : threads) {
            thread.join();
        }
        System.out.println(sum);
    }

    /** More names than are kept, in little memory. */
    private static void names() {
        int missing = 0;
        for (int i = 0; i < 110_000; i++) {
            try {
                Class.forName("generated.some.longer.packagename.Name" + i);
            } catch (ClassNotFoundException e) {
                missing++;
            }
        }
        System.out.println(missing);
    }

    /** System.exit from one thread while others reflect, and a hook that reflects too. */
    private static void exit() throws Exception {
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            try {
                System.out.println(Class.forName(name("Last")).getSimpleName());
            } catch (ClassNotFoundException e) {
                e.printStackTrace();
            }
        }));
        CountDownLatch running = new CountDownLatch(4);
        for (int i = 0; i < 4; i++) {
            Thread.ofPlatform().daemon().start(() -> {
                running.countDown();
                for (int n = 0; ; n++) {
                    try {
                        Class.forName("endless.Name" + n % 5000);
                    } catch (ClassNotFoundException e) {
                        // That is the point.
                    }
                }
            });
        }
        running.await();
        System.exit(7);
    }

    /** Ends the JVM from a hook, before others may have run. */
    private static void hook() throws Exception {
        Runtime.getRuntime().addShutdownHook(new Thread(() -> Runtime.getRuntime().halt(9)));
        System.out.println(Class.forName(name("Last")).getSimpleName());
    }

    /** Loads from bytes what its parent has too, and counts how often it is asked. */
    static final class Own extends ClassLoader {
        int asked;

        Own() {
            super(Hostile.class.getClassLoader());
        }

        @Override
        protected Class<?> loadClass(String name, boolean resolve) throws ClassNotFoundException {
            asked++;
            if (!name.equals(Hostile.name("Target"))) {
                return super.loadClass(name, resolve);
            }
            Class<?> c = findLoadedClass(name);
            if (c != null) {
                return c;
            }
            try (InputStream in = Hostile.class.getResourceAsStream("Hostile$Target.class")) {
                byte[] bytes = in.readAllBytes();
                return defineClass(name, bytes, 0, bytes.length);
            } catch (java.io.IOException e) {
                throw new ClassNotFoundException(name, e);
            }
        }

        @Override
        public InputStream getResourceAsStream(String name) {
            asked += 1000;
            return super.getResourceAsStream(name);
        }
    }

    private static Own used() throws Exception {
        Own own = new Own();
        Class<?> c = own.loadClass(name("Target"));
        if ((int) c.getMethod("add", int.class).invoke(c.getConstructor().newInstance(), 1) != 2) {
            throw new AssertionError();
        }
        c.getDeclaredMethods();
        return own;
    }

    private static void loader() throws Exception {
        Own own = used();
        Class.forName(name("Target"), true, own);
        System.out.println(own.asked + " " + (own.loadClass(name("Target")) == Target.class));
    }

    /** Class loaders that nobody uses any more must go. */
    private static void unload() throws Exception {
        List<WeakReference<Own>> loaders = new ArrayList<>();
        for (int i = 0; i < 50; i++) {
            loaders.add(new WeakReference<>(used()));
        }
        long alive = loaders.size();
        for (int i = 0; i < 50 && alive > 0; i++) {
            System.gc();
            Thread.sleep(20);
            alive = loaders.stream().filter(l -> l.get() != null).count();
        }
        System.out.println(alive);
    }

    public static int deeper(Method self, int n) throws Throwable {
        try {
            return (int) self.invoke(null, self, n + 1);
        } catch (InvocationTargetException e) {
            throw e.getCause();
        }
    }

    /** Fills the stack by reflection, and goes on. */
    private static void overflow() throws Throwable {
        Method deeper = Hostile.class.getMethod("deeper", Method.class, int.class);
        for (int i = 0; i < 3; i++) {
            try {
                deeper(deeper, 0);
            } catch (StackOverflowError e) {
                System.out.println("overflow");
            }
        }
        System.out.println(Class.forName(name("Last")).getSimpleName());
    }

    /** Fills the heap, and goes on. */
    private static void memory() throws Exception {
        List<byte[]> kept = new ArrayList<>();
        try {
            while (true) {
                kept.add(new byte[1 << 16]);
                Class.forName(name("Target")).getMethods();
            }
        } catch (OutOfMemoryError e) {
            kept.clear();
        }
        System.out.println(Class.forName(name("Last")).getSimpleName());
    }

    /** Takes the system's properties and streams away. */
    private static void properties() throws Exception {
        System.getProperties().list(new PrintStream(OutputStream.nullOutputStream()));
        System.getProperties().store(OutputStream.nullOutputStream(), null);
        PrintStream out = System.out;
        System.setProperties(new Properties());
        System.setErr(null);
        out.println(Class.forName(name("Last")).getSimpleName());
        out.close();
    }
}
