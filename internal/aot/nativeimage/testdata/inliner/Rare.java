import java.util.ArrayList;
import java.util.List;

/** What comes after a receiver that is hardly ever there: it changes what loops and methods have loaded before. */
final class Rare {
    private Rare() {}

    static final class State {
        int step = 1;
        long total;
        int[] cells = {1, 2, 3, 4, 5, 6, 7, 8};
        String name = "s";
    }

    interface Op { int at(State s, int i); }

    record Often(int by) implements Op {
        public int at(State s, int i) { return i * by + s.step; }
    }

    /** Changes all that it can come to. */
    record Seldom(int by) implements Op {
        public int at(State s, int i) {
            s.step += by;
            s.total -= i;
            s.cells = s.cells.clone();
            s.cells[i & 7] ^= by;
            s.name += i % 10;
            if (by == 13) {
                throw new IllegalStateException("seldom " + i);
            }
            return -i;
        }
    }

    /** Others, so that the class is no single one. */
    record Never(int by) implements Op {
        public int at(State s, int i) { return by; }
    }

    record Point(int x, long y) {
        Point plus(int d) { return new Point(x + d, y * 3 + d); }
    }

    /** Values of all kinds go from round to round, and out of the loop on two ways. */
    static String scan(Op[] ops, State s, int until) {
        int n = 0;
        long sum = 7;
        double mean = 0.5;
        Point p = new Point(1, 2);
        for (int i = 0; i < ops.length; i++) {
            int before = s.step;
            int v = ops[i].at(s, i);
            sum += v * (long) s.step + before;
            mean = mean * 0.75 + s.cells[i & 7];
            if ((v & 3) == 1) {
                n++;
                continue;
            }
            p = p.plus(v);
            if (n > until) {
                return "early " + i + " " + n + " " + sum + " " + mean + " " + p;
            }
            n += s.cells[v & 7] & 1;
        }
        return n + " " + sum + " " + mean + " " + p + " " + s.total;
    }

    /** A loop in a loop; a break out of both. */
    static long nested(Op[] ops, State s, int rows) {
        long sum = 0;
        int last = -1;
        rows: for (int r = 0; r < rows; r++) {
            int inRow = s.step;
            for (int i = 0; i < ops.length; i++) {
                int v = ops[(i + r) % ops.length].at(s, i);
                inRow += v;
                if (inRow == 77) {
                    last = i;
                    break rows;
                }
                if (v < -5000) {
                    continue rows;
                }
                sum = sum * 31 + s.step + v;
            }
            sum ^= inRow;
        }
        return sum * 3 + last;
    }

    /** Handlers in the loop and around it, and what is done in any case. */
    static long caught(Op[] ops, State s) {
        long sum = 0;
        int failed = 0;
        try {
            for (int i = 0; i < ops.length; i++) {
                try {
                    sum += ops[i].at(s, i) + s.step;
                } catch (IllegalStateException e) {
                    sum += e.getMessage().length() * s.step;
                    if (++failed == 3) {
                        throw e;
                    }
                } finally {
                    sum += s.cells[1];
                }
            }
        } catch (IllegalStateException e) {
            sum = -sum;
        }
        return sum * 10 + failed;
    }

    /** A lock is held in the branch, and let go after it. */
    static long locked(Op[] ops, State s) {
        long sum = 0;
        for (Op op : ops) {
            synchronized (s) {
                sum = sum * 7 + op.at(s, (int) (sum & 63)) + s.step;
            }
        }
        if (Thread.holdsLock(s)) {
            throw new AssertionError("still locked");
        }
        return sum;
    }

    /** No loop around the calls, but between and behind them. */
    static String chain(Op a, Op b, Op c, State s, int x) {
        List<Point> points = new ArrayList<>();
        Point p = new Point(x, s.step);
        int v = a.at(s, x);
        if (v > 50) {
            p = p.plus(s.step);
        } else {
            points.add(p);
        }
        int w = b.at(s, v);
        int sum = 0;
        for (int i = 0; i < 5; i++) {
            sum += s.cells[i] * w + s.step;
        }
        String kind = switch (sum & 3) {
            case 0 -> "none " + s.name;
            case 1 -> "one " + p;
            case 2 -> "two " + points;
            default -> "more " + s.step;
        };
        synchronized (points) {
            v += c.at(s, w);
        }
        return kind + v + s.total + (Thread.holdsLock(points) ? " locked" : "");
    }

    /** What stays the same in a loop is tested in it, and the receiver of another call comes from what the first one changes. */
    static int steady(Op op, Op other, State s, int rounds) {
        int sum = 0;
        int i = 0;
        while (i < rounds) {
            Op of = s.step % 9 == 8 ? other : op;
            int v = op.at(s, i) + of.at(s, sum & 15);
            do {
                v -= s.step + 1;
                i++;
            } while (v > 900);
            sum += v + s.cells[i & 7];
        }
        return sum;
    }

    private static Op[] ops(int n, int seldom, int by) {
        Op[] ops = new Op[n];
        for (int i = 0; i < n; i++) {
            ops[i] = i == seldom ? new Seldom(by) : new Often(i % 4 + 1);
        }
        return ops;
    }

    private static String all(int n, int seldom, int by) {
        Op[] ops = ops(n, seldom, by);
        StringBuilder s = new StringBuilder();
        try {
            s.append(scan(ops, new State(), 1000)).append(' ').append(scan(ops, new State(), 3)).append(' ');
        } catch (IllegalStateException e) {
            s.append(e.getMessage()).append(' ');
        }
        try {
            s.append(nested(ops, new State(), 3)).append(' ');
        } catch (IllegalStateException e) {
            s.append(e.getMessage()).append(' ');
        }
        s.append(caught(ops, new State())).append(' ');
        try {
            s.append(locked(ops, new State())).append(' ');
        } catch (IllegalStateException e) {
            s.append(e.getMessage()).append(' ');
        }
        try {
            s.append(chain(ops[0], ops[1 % n], ops[2 % n], new State(), n)).append(' ');
        } catch (IllegalStateException e) {
            s.append(e.getMessage()).append(' ');
        }
        try {
            s.append(steady(ops[0], ops[n - 1], new State(), n));
        } catch (IllegalStateException e) {
            s.append(e.getMessage());
        }
        return s.toString();
    }

    static void main() {
        long hash = 0;
        for (int i = 0; i < 80_000; i++) {
            hash = hash * 31 + all(20, i % 50 == 7 ? i % 20 : -1, i % 3 == 0 ? 13 : 5).hashCode();
        }
        System.out.println(hash);
        for (int n = 1; n < 24; n += 3) {
            for (int at = -1; at < n; at++) {
                System.out.println(n + " " + at + ": " + all(n, at, 5) + " | " + all(n, at, 13));
            }
        }
        Op[] others = ops(12, 4, 3);
        others[7] = new Never(77);
        others[8] = new Seldom(13);
        others[9] = new Seldom(13);
        others[10] = new Seldom(13);
        System.out.println(caught(others, new State()));
        others[5] = null;
        try {
            scan(others, new State(), 9);
        } catch (NullPointerException e) {
            Odd.frames(e);
        }
        others[5] = new Often(2);
        try {
            nested(others, new State(), 2);
        } catch (IllegalStateException e) {
            Odd.frames(e);
        }
    }
}
