package features;

import java.io.InputStream;
import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.CallSite;
import java.lang.invoke.LambdaMetafactory;
import java.lang.invoke.MethodHandle;
import java.lang.invoke.MethodHandleProxies;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.MethodType;
import java.lang.invoke.MutableCallSite;
import java.lang.invoke.VarHandle;
import java.util.List;
import java.util.ServiceLoader;
import java.util.concurrent.Callable;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.Executors;
import java.util.concurrent.ForkJoinPool;
import java.util.concurrent.RecursiveTask;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicIntegerFieldUpdater;
import java.util.concurrent.atomic.AtomicReferenceFieldUpdater;
import java.util.concurrent.locks.ReentrantReadWriteLock;
import java.util.function.Function;
import java.util.function.Supplier;
import javax.tools.ToolProvider;

/** Method handles, classes at run time, class loaders, services, threads, foreign functions. */
final class Calls {
    private Calls() {}

    static class Counter {
        volatile int count;
        volatile String text = "a";
        private int hidden = 3;

        private String say(String a, int b) {
            return a + b;
        }
    }

    /** Its bytes are what the features define classes from. */
    public static class Defined implements Supplier<String> {
        @Override
        public String get() {
            return "defined in a loader of the program: " + (getClass().getClassLoader() != ClassLoader.getSystemClassLoader());
        }
    }

    public static class Hidden implements Supplier<String> {
        @Override
        public String get() {
            return "hidden " + getClass().isHidden();
        }
    }

    private static byte[] bytesOf(Class<?> type) throws Exception {
        try (InputStream in = Calls.class.getResourceAsStream("/" + type.getName().replace('.', '/') + ".class")) {
            return in.readAllBytes();
        }
    }

    /** Defines {@link Defined} anew instead of asking its parent. */
    static final class Loader extends ClassLoader {
        Loader() {
            super(Calls.class.getClassLoader());
        }

        @Override
        protected Class<?> loadClass(String name, boolean resolve) throws ClassNotFoundException {
            if (!name.endsWith("$Defined")) {
                return super.loadClass(name, resolve);
            }
            try {
                byte[] b = bytesOf(Defined.class);
                return defineClass(name, b, 0, b.length);
            } catch (Exception e) {
                throw new ClassNotFoundException(name, e);
            }
        }
    }

    static final class Sum extends RecursiveTask<Integer> {
        private final int from;
        private final int to;

        Sum(int from, int to) {
            this.from = from;
            this.to = to;
        }

        @Override
        protected Integer compute() {
            if (to - from < 10) {
                int sum = 0;
                for (int i = from; i < to; i++) {
                    sum += i;
                }
                return sum;
            }
            Sum left = new Sum(from, (from + to) / 2);
            left.fork();
            return new Sum((from + to) / 2, to).compute() + left.join();
        }
    }

    static int later(int i) {
        return i + 100;
    }

    static void addTo(Jdk.Adder to) {
        to.add("handles/find-virtual", () -> {
            MethodHandle m = MethodHandles.lookup().findVirtual(String.class, "concat", MethodType.methodType(String.class, String.class));
            return (String) m.invokeExact("a", "b");
        });
        to.add("handles/computed-name", () -> MethodHandles.lookup().findVirtual(String.class, new StringBuilder("pirts").reverse().toString(), MethodType.methodType(String.class)).invoke(" x "));
        to.add("handles/private", () -> MethodHandles.privateLookupIn(Counter.class, MethodHandles.lookup())
                .findVirtual(Counter.class, "say", MethodType.methodType(String.class, String.class, int.class)).invoke(new Counter(), "s", 1));
        to.add("handles/var-handle", () -> {
            Counter c = new Counter();
            VarHandle v = MethodHandles.lookup().findVarHandle(Counter.class, "count", int.class);
            v.compareAndSet(c, 0, 5);
            return (int) v.getAndAdd(c, 2) + c.count + " " + v;
        });
        to.add("handles/array-and-bytes", () -> {
            VarHandle v = MethodHandles.byteArrayViewVarHandle(long[].class, java.nio.ByteOrder.BIG_ENDIAN);
            return Long.toHexString((long) v.get(new byte[] {1, 2, 3, 4, 5, 6, 7, 8}, 0)) + MethodHandles.arrayElementGetter(int[].class).invoke(new int[] {7, 8}, 1);
        });
        to.add("handles/combinators", () -> {
            MethodHandle length = MethodHandles.lookup().findVirtual(String.class, "length", MethodType.methodType(int.class));
            MethodHandle trimmed = MethodHandles.filterArguments(length, 0, MethodHandles.lookup().findVirtual(String.class, "trim", MethodType.methodType(String.class)));
            MethodHandle guarded = MethodHandles.guardWithTest(MethodHandles.lookup().findVirtual(String.class, "isBlank", MethodType.methodType(boolean.class)),
                    MethodHandles.dropArguments(MethodHandles.constant(int.class, -1), 0, String.class), trimmed);
            return guarded.invoke(" ab ") + " " + guarded.invoke("  ") + MethodHandles.insertArguments(guarded, 0, "xyz").invoke();
        });
        to.add("handles/as-spreader", () -> MethodHandles.lookup().findStatic(String.class, "join", MethodType.methodType(String.class, CharSequence.class, CharSequence[].class))
                .invokeWithArguments("-", "a", "b", "c"));
        to.add("handles/loop", () -> MethodHandles.countedLoop(MethodHandles.constant(int.class, 4), MethodHandles.constant(int.class, 1),
                MethodHandles.permuteArguments(MethodHandles.lookup().findStatic(Math.class, "addExact", MethodType.methodType(int.class, int.class, int.class)),
                        MethodType.methodType(int.class, int.class, int.class), 0, 1)).invoke());
        to.add("handles/mutable-call-site", () -> {
            MutableCallSite site = new MutableCallSite(MethodType.methodType(int.class));
            site.setTarget(MethodHandles.constant(int.class, 3));
            MethodHandle m = site.dynamicInvoker();
            int before = (int) m.invoke();
            site.setTarget(MethodHandles.constant(int.class, 4));
            return before + " " + m.invoke();
        });
        to.add("handles/as-interface", () -> MethodHandleProxies.asInterfaceInstance(Callable.class, MethodHandles.constant(Object.class, "proxied")).call());
        to.add("handles/method-missing", () -> MethodHandles.lookup().findVirtual(String.class, "nothing", MethodType.methodType(void.class)));
        to.add("handles/wrong-type", () -> MethodHandles.constant(String.class, "x").invokeWithArguments(1, 2));
        to.add("handles/type-text", () -> MethodType.fromMethodDescriptorString("(I[Ljava/lang/String;)Ljava/util/List;", Calls.class.getClassLoader()) + " " + MethodHandles.lookup());
        to.add("handles/reflect-as", () -> {
            var lookup = MethodHandles.lookup();
            MethodHandle m = lookup.findStatic(Calls.class, "later", MethodType.methodType(int.class, int.class));
            return lookup.revealDirect(m).getName() + m.invoke(1) + MethodHandles.reflectAs(java.lang.reflect.Method.class, m).getName();
        });

        to.add("runtime-classes/metafactory", () -> {
            MethodHandles.Lookup l = MethodHandles.lookup();
            MethodHandle m = l.findVirtual(String.class, "trim", MethodType.methodType(String.class));
            CallSite site = LambdaMetafactory.metafactory(l, "apply", MethodType.methodType(Function.class), MethodType.methodType(Object.class, Object.class), m, MethodType.methodType(String.class, String.class));
            @SuppressWarnings("unchecked")
            Function<Object, Object> f = (Function<Object, Object>) site.getTarget().invoke();
            return f.apply(" trimmed ");
        });
        to.add("runtime-classes/hidden", () -> ((Supplier<?>) MethodHandles.lookup().defineHiddenClass(bytesOf(Hidden.class), true).lookupClass().getDeclaredConstructor().newInstance()).get());
        to.add("runtime-classes/own-loader", () -> ((Supplier<?>) new Loader().loadClass("features.Calls$Defined").getDeclaredConstructor().newInstance()).get());
        to.add("runtime-classes/url-loader", () -> {
            try (java.net.URLClassLoader loader = new java.net.URLClassLoader(new java.net.URL[0], Calls.class.getClassLoader())) {
                return loader.loadClass("features.Calls$Counter").getSimpleName() + loader.getResource("nothing");
            }
        });
        to.add("runtime-classes/class-file-api", () -> "made " + MethodHandles.lookup().defineClass(java.lang.classfile.ClassFile.of().build(java.lang.constant.ClassDesc.of("features.Made"),
                b -> b.withField("x", java.lang.constant.ConstantDescs.CD_int, 1))).getDeclaredFields().length);
        to.add("runtime-classes/class-file-read", () -> java.lang.classfile.ClassFile.of().parse(bytesOf(Counter.class)).fields().stream().map(f -> f.fieldName().stringValue()).toList());
        to.add("runtime-classes/compiler", () -> ToolProvider.getSystemJavaCompiler() != null);
        to.add("runtime-classes/loader-chain", () -> String.class.getClassLoader() + " " + Calls.class.getClassLoader().getClass().getSimpleName() + " " + (ClassLoader.getSystemClassLoader() == Calls.class.getClassLoader()) + " " + ClassLoader.getPlatformClassLoader().getName() + Thread.currentThread().getContextClassLoader().getName());
        to.add("runtime-classes/code-source", () -> String.valueOf(Calls.class.getProtectionDomain().getCodeSource().getLocation()).startsWith("file:/var/task"));
        to.add("runtime-classes/resource-of-class", () -> String.valueOf(Calls.class.getResource("Calls.class")).endsWith("features/Calls.class"));

        to.add("services/own", () -> ServiceLoader.load(Greeting.class).stream().map(p -> p.type().getSimpleName() + p.get().text()).sorted().toList());
        to.add("services/none", () -> ServiceLoader.load(Runnable.class).findFirst());
        to.add("services/broken", () -> ServiceLoader.load(BrokenService.class).iterator().next());
        to.add("services/jdk", () -> ServiceLoader.load(java.nio.file.spi.FileSystemProvider.class).stream().map(p -> p.type().getName()).sorted().toList());
        to.add("services/locale-providers", () -> ServiceLoader.load(java.text.spi.DateFormatProvider.class).stream().count());
        to.add("services/drivers", () -> java.sql.DriverManager.drivers().count());
        to.add("services/no-driver", () -> java.sql.DriverManager.getConnection("jdbc:none:x"));

        to.add("threads/virtual", () -> {
            var results = new java.util.concurrent.ConcurrentSkipListSet<Integer>();
            try (var executor = Executors.newVirtualThreadPerTaskExecutor()) {
                for (int i = 0; i < 20; i++) {
                    int n = i;
                    executor.submit(() -> results.add(n * n));
                }
            }
            return results;
        });
        to.add("threads/virtual-name", () -> {
            String[] said = new String[1];
            Thread t = Thread.ofVirtual().name("v-", 1).start(() -> said[0] = Thread.currentThread().getName() + Thread.currentThread().isVirtual());
            t.join();
            return said[0];
        });
        to.add("threads/scoped-values", () -> {
            ScopedValue<String> v = ScopedValue.newInstance();
            return ScopedValue.where(v, "scoped").call(() -> v.get() + v.isBound());
        });
        to.add("threads/fork-join", () -> new ForkJoinPool(2).invoke(new Sum(0, 1000)));
        to.add("threads/futures", () -> CompletableFuture.supplyAsync(() -> 1).thenCombine(CompletableFuture.supplyAsync(() -> 2), Integer::sum).thenCompose(i -> CompletableFuture.completedFuture(i * 2)).get(5, TimeUnit.SECONDS));
        to.add("threads/future-fails", () -> CompletableFuture.supplyAsync(() -> {
            throw new IllegalStateException("in a future");
        }).get());
        to.add("threads/scheduled", () -> {
            try (var s = Executors.newScheduledThreadPool(1)) {
                return s.schedule(() -> "done", 5, TimeUnit.MILLISECONDS).get();
            }
        });
        to.add("threads/locks", () -> {
            var lock = new ReentrantReadWriteLock();
            lock.writeLock().lock();
            var latch = new CountDownLatch(1);
            AtomicInteger seen = new AtomicInteger();
            Thread t = new Thread(() -> {
                seen.set(lock.readLock().tryLock() ? 1 : 2);
                latch.countDown();
            });
            t.start();
            latch.await();
            return seen.get() + lock.toString().replaceAll(".*\\[", "[");
        });
        to.add("threads/field-updaters", () -> {
            Counter c = new Counter();
            AtomicIntegerFieldUpdater.newUpdater(Counter.class, "count").addAndGet(c, 4);
            AtomicReferenceFieldUpdater.newUpdater(Counter.class, String.class, "text").set(c, "b");
            return c.count + c.text;
        });
        to.add("threads/thread-locals", () -> {
            ThreadLocal<String> t = ThreadLocal.withInitial(() -> "initial");
            InheritableThreadLocal<String> i = new InheritableThreadLocal<>();
            i.set("inherited");
            String[] said = new String[1];
            Thread child = new Thread(() -> said[0] = t.get() + i.get());
            child.start();
            child.join();
            return said[0];
        });
        to.add("threads/uncaught", () -> {
            String[] said = new String[1];
            Thread t = new Thread(() -> {
                throw new IllegalArgumentException("uncaught");
            }, "thrower");
            t.setUncaughtExceptionHandler((thread, e) -> said[0] = thread.getName() + e.getMessage());
            t.start();
            t.join();
            return said[0];
        });
        to.add("threads/groups", () -> Thread.currentThread().getThreadGroup().getName() + Thread.currentThread().getName() + Thread.currentThread().getPriority());
        to.add("threads/timer", () -> {
            var latch = new CountDownLatch(2);
            var timer = new java.util.Timer("t", true);
            timer.schedule(new java.util.TimerTask() {
                @Override
                public void run() {
                    latch.countDown();
                }
            }, 1, 1);
            boolean came = latch.await(5, TimeUnit.SECONDS);
            timer.cancel();
            return came;
        });
        to.add("threads/cleaner", () -> {
            var latch = new CountDownLatch(1);
            java.lang.ref.Cleaner.create().register(new Object(), latch::countDown).clean();
            return latch.await(5, TimeUnit.SECONDS);
        });
        to.add("threads/weak-references", () -> {
            var reference = new java.lang.ref.WeakReference<>(new byte[1000]);
            for (int i = 0; i < 50 && reference.get() != null; i++) {
                System.gc();
            }
            return reference.get() == null;
        });
        to.add("threads/flow", () -> {
            var said = new java.util.concurrent.CopyOnWriteArrayList<Integer>();
            var latch = new CountDownLatch(1);
            try (var p = new java.util.concurrent.SubmissionPublisher<Integer>()) {
                p.consume(said::add).thenRun(latch::countDown);
                List.of(1, 2, 3).forEach(p::submit);
            }
            latch.await();
            return said;
        });

        to.add("foreign/downcall", () -> {
            Linker linker = Linker.nativeLinker();
            MethodHandle strlen = linker.downcallHandle(linker.defaultLookup().find("strlen").orElseThrow(), FunctionDescriptor.of(ValueLayout.JAVA_LONG, ValueLayout.ADDRESS));
            try (Arena arena = Arena.ofConfined()) {
                return (long) strlen.invokeExact(arena.allocateFrom("hello"));
            }
        });
        to.add("foreign/upcall", () -> {
            Linker linker = Linker.nativeLinker();
            MethodHandle target = MethodHandles.lookup().findStatic(Calls.class, "later", MethodType.methodType(int.class, int.class));
            return linker.upcallStub(target, FunctionDescriptor.of(ValueLayout.JAVA_INT, ValueLayout.JAVA_INT), Arena.global()).byteSize();
        });
        to.add("foreign/memory", () -> {
            try (Arena arena = Arena.ofConfined()) {
                MemorySegment s = arena.allocate(ValueLayout.JAVA_INT, 4);
                s.setAtIndex(ValueLayout.JAVA_INT, 0, 42);
                return s.get(ValueLayout.JAVA_INT, 0) + s.byteSize();
            }
        });
        to.add("foreign/memory-closed", () -> {
            MemorySegment s;
            try (Arena arena = Arena.ofConfined()) {
                s = arena.allocate(8);
            }
            return s.get(ValueLayout.JAVA_BYTE, 0);
        });
    }

    /** A service of the program with two providers. */
    public interface Greeting {
        String text();
    }

    public static final class English implements Greeting {
        @Override
        public String text() {
            return "hello";
        }
    }

    public static final class German implements Greeting {
        @Override
        public String text() {
            return "hallo";
        }
    }

    /** A service whose provider is not there. */
    public interface BrokenService {}
}
