import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/** What is read or written of null, in all ways: each is an exception of its own line, and what was done before it is done. */
final class Nulls {
    private Nulls() {}

    static class Box {
        boolean flag;
        byte b = 1;
        char c = 'c';
        short s = 2;
        int i = 3;
        long l = 4;
        float f = 5;
        double d = 6;
        String text = "text";
        Box next;
        int[] ints = {1, 2, 3};
        volatile int heard = 7;
        final int fixed;

        Box(int fixed) { this.fixed = fixed; }

        int plus(int by) { return i + by; }

        final int twice() { return 2 * i; }

        synchronized int locked() { return ++i; }
    }

    static final class Deep extends Box {
        long pad0, pad1, pad2, pad3, pad4, pad5, pad6, pad7, last = 9;

        Deep() { super(1); }

        @Override
        int plus(int by) { return i - by; }
    }

    interface Attempt { Object at(Box x, int n); }

    static int before;

    static int count(int n) {
        before += n;
        return n;
    }

    /** The frames of the program, the innermost first, without what lambdas are called. */
    static String where(Throwable t) {
        StringBuilder all = new StringBuilder();
        for (StackTraceElement e : t.getStackTrace()) {
            if (e.getClassName().startsWith("Nulls") && all.length() < 200) {
                all.append(' ').append(e.getLineNumber());
            }
        }
        return t.getClass().getSimpleName() + " at" + all;
    }

    static int sumOf(Box x, int[] of) {
        int sum = 0;
        for (int at : of) {
            sum += x.i + at; // the check is before the loop, or in it
        }
        return sum;
    }

    static int chain(Box x, int depth) {
        int seen = 0;
        for (int i = 0; i < depth; i++) {
            seen += x.fixed;
            x = x.next;
        }
        return seen;
    }

    static String caught(Box x, int a, int b, long c, String d) {
        int e = a * 31 + b;
        long f = c ^ e;
        try {
            e += x.i;
            f += x.next.l;
            return "read " + e + f + d;
        } catch (NullPointerException thrown) {
            return where(thrown) + " " + a + ' ' + b + ' ' + c + ' ' + d + ' ' + e + ' ' + f;
        } finally {
            before += e;
        }
    }

    static String nested(Box x, int n) {
        String said = "";
        for (int i = 0; i < n; i++) {
            try {
                try {
                    said += x.next.next.i;
                } catch (NullPointerException e) {
                    said += "inner" + x.i; // again, if it is null itself
                }
            } catch (NullPointerException e) {
                said += "outer" + i;
                x = new Deep();
            } finally {
                said += ';';
            }
        }
        return said;
    }

    static int sync(Box lock, Box x) {
        synchronized (lock) {
            return x.i; // the lock is given back
        }
    }

    static int choose(Box x, Box y, boolean first) { return (first ? x : y).plus(1); }

    static double mixed(Box x, double a, float b, int i) {
        double sum = a * b + i;
        sum += x.d;
        return sum + x.f;
    }

    static boolean same(Box x, Box y) { return x.text.equals(y.text); }

    static int type(Object o) {
        if (o instanceof Deep deep) {
            return (int) deep.last;
        }
        return o.hashCode() == 0 ? 1 : 2;
    }

    static int store(Box x, Box value) {
        count(1);
        x.next = value; // with a card
        count(2);
        return x.next.i;
    }

    static final Map<String, Attempt> ATTEMPTS = new TreeMap<>();

    static {
        ATTEMPTS.put("boolean", (x, n) -> x.flag);
        ATTEMPTS.put("byte", (x, n) -> x.b);
        ATTEMPTS.put("char", (x, n) -> x.c);
        ATTEMPTS.put("short", (x, n) -> x.s);
        ATTEMPTS.put("int", (x, n) -> x.i);
        ATTEMPTS.put("long", (x, n) -> x.l);
        ATTEMPTS.put("float", (x, n) -> x.f);
        ATTEMPTS.put("double", (x, n) -> x.d);
        ATTEMPTS.put("reference", (x, n) -> x.text);
        ATTEMPTS.put("volatile", (x, n) -> x.heard);
        ATTEMPTS.put("final", (x, n) -> x.fixed);
        ATTEMPTS.put("far", (x, n) -> ((Deep) x).last);
        ATTEMPTS.put("compared", (x, n) -> x.i == 3 ? "three" : "other");
        ATTEMPTS.put("compared reference", (x, n) -> x.next == null ? "none" : "one");
        ATTEMPTS.put("compared twice", (x, n) -> x.text == "text" && x.flag);
        ATTEMPTS.put("tested", (x, n) -> (x.i & 2) != 0 ? "odd" : "even");
        ATTEMPTS.put("write int", (x, n) -> x.i = count(n));
        ATTEMPTS.put("write constant", (x, n) -> x.i = 3);
        ATTEMPTS.put("write null", (x, n) -> x.next = null);
        ATTEMPTS.put("write reference", (x, n) -> x.text = "text");
        ATTEMPTS.put("write volatile", (x, n) -> x.heard = 7);
        ATTEMPTS.put("write double", (x, n) -> x.d = n + 0.5);
        ATTEMPTS.put("increment", (x, n) -> x.l++);
        ATTEMPTS.put("virtual", (x, n) -> x.plus(count(n)));
        ATTEMPTS.put("final method", (x, n) -> x.twice());
        ATTEMPTS.put("synchronized method", (x, n) -> x.locked() > 0);
        ATTEMPTS.put("length", (x, n) -> x.ints.length);
        ATTEMPTS.put("element", (x, n) -> x.ints[n % 3]);
        ATTEMPTS.put("write element", (x, n) -> x.ints[count(n) % 3] = 1);
        ATTEMPTS.put("clone", (x, n) -> x.ints.clone().length);
        ATTEMPTS.put("iterate", (x, n) -> sumOf(x, new int[] {1, 2, n}));
        ATTEMPTS.put("no iteration", (x, n) -> sumOf(x, new int[0]));
        ATTEMPTS.put("chain", (x, n) -> chain(x, n));
        ATTEMPTS.put("caught", (x, n) -> caught(x, n, n + 1, n + 2L, "d" + n));
        ATTEMPTS.put("nested", (x, n) -> nested(x, n));
        ATTEMPTS.put("lock", (x, n) -> { synchronized (x) { return n; } });
        ATTEMPTS.put("locked", (x, n) -> sync(Nulls.ATTEMPTS.size() > n ? new Box(n) : x, x));
        ATTEMPTS.put("choose", (x, n) -> choose(x, new Deep(), n % 2 == 0));
        ATTEMPTS.put("mixed", (x, n) -> mixed(x, n, 0.5f, n));
        ATTEMPTS.put("same", (x, n) -> same(new Box(n), x));
        ATTEMPTS.put("type", (x, n) -> type(x) > 0);
        ATTEMPTS.put("store", (x, n) -> store(x, new Box(n)));
        ATTEMPTS.put("unbox", (x, n) -> (int) (x == null ? (Integer) null : Integer.valueOf(n)));
        ATTEMPTS.put("throw", (x, n) -> { throw x == null ? null : new IllegalStateException("thrown"); });
        ATTEMPTS.put("switch", (x, n) -> switch (x == null ? null : x.text) { case "text" -> 1; default -> 2; });
        ATTEMPTS.put("two", (x, n) -> count(n) + x.i + x.next.i);
    }

    static String attempt(String name, Box x, int n) {
        before = 0;
        String said;
        try {
            said = String.valueOf(ATTEMPTS.get(name).at(x, n));
        } catch (RuntimeException e) {
            said = where(e);
        }
        return name + " " + n + ": " + said + " (" + before + ")";
    }

    static void main() {
        for (int n = 0; n < 4; n++) {
            for (String name : ATTEMPTS.keySet()) {
                System.out.println(attempt(name, null, n) + " | " + attempt(name, new Box(n), n) + " | " + attempt(name, new Deep(), n));
            }
        }
        // Often, with collections in between, on several threads, some of them virtual.
        List<Thread> threads = new ArrayList<>();
        int[] thrown = new int[6];
        for (int t = 0; t < thrown.length; t++) {
            int at = t;
            Runnable work = () -> {
                List<byte[]> kept = new ArrayList<>();
                for (int i = 0; i < 4000; i++) {
                    kept.add(new byte[1000]);
                    if (kept.size() > 50) {
                        kept.clear();
                    }
                    Box x = i % 3 == 0 ? null : new Box(i);
                    try {
                        thrown[at] += x.i - 3 + x.next.i;
                    } catch (NullPointerException e) {
                        thrown[at] += e.getStackTrace().length > 0 ? 1 : 1000;
                    }
                }
            };
            threads.add(t % 2 == 0 ? Thread.ofPlatform().unstarted(work) : Thread.ofVirtual().unstarted(work));
        }
        threads.forEach(Thread::start);
        for (Thread t : threads) {
            try {
                t.join();
            } catch (InterruptedException e) {
                throw new IllegalStateException(e);
            }
        }
        for (int n : thrown) {
            System.out.println(n + " thrown");
        }
        // Deep in a stack, and up to its end.
        System.out.println(deep(0, null));
        try {
            edge(null, 1, 2, 3);
        } catch (StackOverflowError e) {
            System.out.println("overflow, " + (depth > 1000 ? "many" : "few") + " thrown before");
        }
    }

    static int depth;

    static long edge(Box x, long a, long b, long c) {
        try {
            a += x.i;
        } catch (NullPointerException e) {
            depth++;
        }
        return edge(x, b, c, a) + 1;
    }

    static String deep(int n, Box x) {
        if (n < 2000) {
            return deep(n + 1, x);
        }
        try {
            return "read " + x.i;
        } catch (NullPointerException e) {
            return "thrown at " + e.getStackTrace()[0].getLineNumber();
        }
    }
}
