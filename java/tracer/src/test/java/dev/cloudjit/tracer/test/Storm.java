package dev.cloudjit.tracer.test;

import java.lang.invoke.MethodHandles;
import java.lang.reflect.Method;
import java.net.URL;
import java.net.URLClassLoader;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.atomic.AtomicLong;

/** Many threads that reflect at once: through own class loaders, hidden classes, virtual threads, with locks held. */
public final class Storm {
    private Storm() {}

    public interface Task {
        int run();
    }

    public static class Work implements Task {
        @Override
        public int run() {
            return 1;
        }
    }

    /** Loads the classes of this program itself, under a lock that tasks hold too. */
    static final class Loader extends URLClassLoader {
        Loader(URL[] urls) {
            super(urls, Storm.class.getClassLoader());
        }

        @Override
        protected Class<?> loadClass(String name, boolean resolve) throws ClassNotFoundException {
            synchronized (LOCK) {
                if (!name.endsWith("$Work")) {
                    return super.loadClass(name, resolve);
                }
                Class<?> c = findLoadedClass(name);
                return c != null ? c : findClass(name);
            }
        }
    }

    private static final Object LOCK = new Object();
    private static final AtomicLong SUM = new AtomicLong();

    public static void main(String[] arguments) throws Exception {
        List<Thread> threads = new ArrayList<>();
        for (int i = 0; i < 16; i++) {
            int number = i;
            Runnable task = () -> storm(number);
            threads.add(i % 2 == 0 ? Thread.ofPlatform().start(task) : Thread.ofVirtual().start(task));
        }
        for (Thread thread : threads) {
            thread.join();
        }
        System.out.println(SUM);
    }

    private static void storm(int number) {
        try {
            URL here = Storm.class.getProtectionDomain().getCodeSource().getLocation();
            for (int round = 0; round < 20; round++) {
                Class<?> work;
                try (Loader loader = new Loader(new URL[] {here})) {
                    work = number % 2 == 0 ? loader.loadClass(Storm.class.getName() + "$Work") : Class.forName(Storm.class.getName() + "$Work", true, loader);
                }
                Object object = work.getDeclaredConstructor().newInstance();
                Method run = work.getMethod("run");
                for (int i = 0; i < 100; i++) {
                    synchronized (LOCK) {
                        SUM.addAndGet((int) run.invoke(object));
                    }
                }
                hidden();
                try {
                    Class.forName("generated.Name" + number + "x" + round);
                } catch (ClassNotFoundException e) {
                    SUM.incrementAndGet();
                }
            }
        } catch (Exception e) {
            e.printStackTrace();
        }
    }

    private static void hidden() throws Exception {
        byte[] bytes;
        try (var in = Storm.class.getResourceAsStream("Storm$Work.class")) {
            bytes = in.readAllBytes();
        }
        Class<?> c = MethodHandles.lookup().defineHiddenClass(bytes, true).lookupClass();
        SUM.addAndGet((int) c.getMethod("run").invoke(c.getConstructor().newInstance()));
    }
}
