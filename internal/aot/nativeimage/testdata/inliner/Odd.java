import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.function.Function;
import java.util.function.IntUnaryOperator;
import java.util.stream.IntStream;

/** What an inliner may get wrong, each often enough to be hot; prints what came of it. */
public final class Odd {
    interface Shape { long area(int scale); }

    record Square(int a) implements Shape {
        public long area(int scale) { return (long) a * a * scale; }
    }

    record Strip(int a) implements Shape {
        public long area(int scale) {
            if (a % 7 == 0) {
                throw new IllegalStateException("strip " + a); // through a guarded call, to its handler
            }
            return (long) a * scale;
        }
    }

    /** Rare: its receivers take the virtual call. */
    record Hole(int a) implements Shape {
        public long area(int scale) { return -a; }
    }

    /** Not one of the two classes of the profile, and never loaded while it was made. */
    static final class Late implements Shape {
        public long area(int scale) { return 41; }
    }

    static final class Counter {
        private int n;

        synchronized int next(int by) {
            if (by < 0) {
                throw new IllegalArgumentException("negative");
            }
            return n += by;
        }
    }

    static final class Node {
        final Node left, right;
        final int value;

        Node(int depth) {
            value = depth;
            left = depth == 0 ? null : new Node(depth - 1);
            right = depth == 0 ? null : new Node(depth - 1);
        }

        int sum() { return value + (left == null ? 0 : left.sum()) + (right == null ? 0 : right.sum()); }
    }

    static long areas(List<Shape> shapes, int scale) {
        long sum = 0;
        for (Shape s : shapes) {
            try {
                sum += s.area(scale);
            } catch (IllegalStateException e) {
                sum += e.getMessage().length();
            } finally {
                sum++;
            }
        }
        return sum;
    }

    static int apply(int[] numbers, IntUnaryOperator f, Function<Integer, Integer> g) {
        int sum = 0;
        for (int n : numbers) {
            sum += f.applyAsInt(n) + g.apply(n);
        }
        return sum;
    }

    static int count(Counter c, int by) {
        int n = 0;
        for (int i = 0; i < 100; i++) {
            try {
                n += c.next(i % 50 == 49 ? -1 : by);
            } catch (IllegalArgumentException e) {
                n--;
            }
        }
        return n;
    }

    static int checks(int[] a, Object[] o, int at) {
        int n = 0;
        for (int i = 0; i < 40; i++) {
            try {
                n += element(a, at + i % 4) + length(o[i % o.length]);
            } catch (ArrayIndexOutOfBoundsException e) {
                n += 3; // hot ones have no message on HotSpot
            } catch (ClassCastException | NullPointerException e) {
                n += e.getClass().getName().length();
            }
        }
        return n;
    }

    static int element(int[] a, int i) { return a[i]; }

    static int length(Object o) { return ((String) o).length(); }

    interface Source { int next(int i); }

    record Twice(Source of) implements Source {
        public int next(int i) { return 2 * of.next(i); }
    }

    /** What the inner class has captured is loaded before a loop, if it is one. */
    static Source from(int[] a, Source behind) {
        return new Source() {
            public int next(int i) { return a[i % a.length] + (behind == null ? 0 : behind.next(i)); }
        };
    }

    static int loop(Source s, int rounds) {
        int sum = 0;
        for (int i = 0; i < rounds; i++) {
            try {
                sum += s.next(i);
            } catch (ArithmeticException e) {
                sum--; // of an empty array
            }
        }
        return sum;
    }

    static int stream(int[] numbers, List<String> words) {
        return IntStream.of(numbers).filter(n -> n % 3 != 0).mapToObj(n -> n % 5 == 0 ? null : Integer.toString(n)).filter(w -> w != null)
                .flatMap(w -> words.stream().map(x -> w + x)).mapToInt(String::length).sum();
    }

    /** Its final field is set while its thread is in a loop. */
    static final class Early {
        final CountDownLatch begun = new CountDownLatch(1);
        final CountDownLatch set = new CountDownLatch(1);
        final Thread thread;
        final int[] late;
        int seen;

        Early() throws InterruptedException {
            thread = new Thread(this::run);
            thread.start();
            begun.await();
            late = new int[] {42};
            set.countDown();
        }

        void run() {
            begun.countDown();
            try {
                for (int i = 0; i < 200; i++) {
                    set.await();
                    seen += late[0];
                }
            } catch (InterruptedException e) {
                seen = -1;
            }
        }
    }

    static void frames(Throwable t) {
        System.out.println(t.getClass().getName());
        for (StackTraceElement e : t.getStackTrace()) {
            System.out.println("  " + e.getMethodName() + " " + e.getLineNumber());
            if (e.getMethodName().equals("main")) {
                return; // a binary has a frame of its own below
            }
        }
    }

    public static void main(String[] args) throws InterruptedException {
        List<Shape> shapes = new ArrayList<>();
        for (int i = 1; i <= 300; i++) {
            shapes.add(i % 50 == 0 ? new Hole(i) : i % 3 == 0 ? new Strip(i) : new Square(i));
        }
        int[] numbers = new int[200];
        for (int i = 0; i < numbers.length; i++) {
            numbers[i] = i;
        }
        Object[] objects = {"one", 2, null, "three"};
        Counter counter = new Counter();
        Node tree = new Node(10);
        long sum = 0;
        for (int i = 0; i < 3000; i++) {
            int scale = i % 5;
            sum += areas(shapes, scale) + apply(numbers, n -> n * scale, Integer::reverse) + count(counter, scale) + checks(numbers, objects, 190 + i % 12);
            if (i % 10 == 0) {
                sum += tree.sum();
            }
        }
        System.out.println(sum);
        shapes.add(new Late());
        System.out.println(areas(shapes, 3));
        try {
            new Strip(7).area(1);
        } catch (IllegalStateException e) {
            frames(e);
        }
        shapes.add(null);
        try {
            areas(shapes, 3);
        } catch (NullPointerException e) {
            frames(e);
        }
        try {
            apply(numbers, n -> 1 / (n - 5), n -> n);
        } catch (ArithmeticException e) {
            frames(e);
        }
        try {
            apply(numbers, null, Integer::reverse);
        } catch (NullPointerException e) {
            frames(e);
        }
        more(numbers);
        Rare.main();
        Nulls.main();
    }

    static void more(int[] numbers) throws InterruptedException {
        Source empty = from(new int[0], null);
        Source[] sources = {from(numbers, null), from(numbers, from(new int[] {1, 2}, null)), new Twice(from(numbers, null)), from(numbers, empty)};
        List<String> words = List.of("a", "bc", "");
        long sum = 0;
        for (int i = 0; i < 40_000; i++) {
            sum += loop(sources[i % 40 < 38 ? i % 2 : i % 4], 100) + (i % 40 == 0 ? stream(numbers, words) : 0);
        }
        System.out.println(sum);
        System.out.println(loop(null, 0));
        System.out.println(loop(empty, 5));
        try {
            loop(null, 1);
        } catch (NullPointerException e) {
            frames(e);
        }
        try {
            stream(numbers, null);
        } catch (NullPointerException e) {
            System.out.println(e.getClass());
        }
        int seen = 0;
        for (int i = 0; i < 2000; i++) {
            Early e = new Early();
            e.thread.join();
            seen += e.seen;
        }
        System.out.println(seen);
    }
}
