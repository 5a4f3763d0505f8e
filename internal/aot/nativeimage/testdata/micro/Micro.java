import java.util.*;
import java.util.function.*;
import java.util.stream.*;

/** Five small programs, each run many times; prints the best time of each. */
public final class Micro {
    interface Shape { double area(); }
    record Circle(double r) implements Shape { public double area() { return Math.PI * r * r; } }
    record Square(double a) implements Shape { public double area() { return a * a; } }
    record Rect(double a, double b) implements Shape { public double area() { return a * b; } }

    static final Shape[] shapes = new Shape[100_000];
    static final int[] numbers = new int[20_000];
    static final String[] words = new String[2_000];
    static final String json;

    static {
        Random r = new Random(7);
        for (int i = 0; i < shapes.length; i++) {
            int k = r.nextInt(100);
            shapes[i] = k < 60 ? new Circle(i) : k < 98 ? new Square(i) : new Rect(i, 2);
        }
        for (int i = 0; i < numbers.length; i++) numbers[i] = r.nextInt(1000);
        for (int i = 0; i < words.length; i++) words[i] = "word" + r.nextInt(500);
        StringBuilder b = new StringBuilder("[");
        for (int i = 0; i < 400; i++) {
            if (i > 0) b.append(',');
            b.append("{\"id\":").append(i).append(",\"name\":\"n").append(r.nextInt(9999)).append("\",\"price\":").append(r.nextInt(99999)).append(".5,\"tags\":[true,false,null]}");
        }
        json = b.append(']').toString();
    }

    static long virtual() {
        double s = 0;
        for (Shape x : shapes) s += x.area();
        return (long) s;
    }

    static long strings() {
        StringBuilder b = new StringBuilder();
        for (int i = 0; i < words.length; i++) {
            String w = words[i];
            for (int j = 0; j < w.length(); j++) {
                char c = w.charAt(j);
                if (Character.isLetter(c)) b.append(Character.toUpperCase(c)); else b.append(c);
            }
        }
        return b.toString().hashCode();
    }

    static long map() {
        Map<String, Integer> m = new HashMap<>();
        for (int n = 0; n < 10; n++) for (String w : words) m.merge(w, 1, Integer::sum);
        long s = 0;
        for (Map.Entry<String, Integer> e : m.entrySet()) s += e.getValue() * (long) e.getKey().length();
        return s;
    }

    static long streams() {
        return IntStream.range(0, numbers.length).map(i -> numbers[i]).filter(x -> x % 3 == 0).mapToObj(Integer::valueOf)
            .map(x -> x * 2).filter(x -> x > 100).mapToLong(x -> x).sum()
            + Arrays.stream(words).map(String::length).collect(Collectors.groupingBy(x -> x, Collectors.counting())).size();
    }

    static final class Parser {
        final String s; int p;
        Parser(String s) { this.s = s; }
        char peek() { return s.charAt(p); }
        void blank() { while (p < s.length() && Character.isWhitespace(s.charAt(p))) p++; }
        Object value() {
            blank();
            switch (peek()) {
                case '{': { p++; Map<String, Object> m = new LinkedHashMap<>(); blank();
                    if (peek() == '}') { p++; return m; }
                    for (;;) { blank(); String k = string(); blank(); expect(':'); m.put(k, value()); blank(); if (peek() == ',') { p++; continue; } expect('}'); return m; } }
                case '[': { p++; List<Object> l = new ArrayList<>(); blank();
                    if (peek() == ']') { p++; return l; }
                    for (;;) { l.add(value()); blank(); if (peek() == ',') { p++; continue; } expect(']'); return l; } }
                case '"': return string();
                case 't': p += 4; return true;
                case 'f': p += 5; return false;
                case 'n': p += 4; return null;
                default: return number();
            }
        }
        String string() { expect('"'); StringBuilder b = new StringBuilder(); for (char c; (c = s.charAt(p++)) != '"'; ) { if (c == '\\') c = s.charAt(p++); b.append(c); } return b.toString(); }
        Double number() { int f = p; while (p < s.length() && "+-.eE0123456789".indexOf(s.charAt(p)) >= 0) p++; return Double.valueOf(s.substring(f, p)); }
        void expect(char c) { if (s.charAt(p++) != c) throw new IllegalStateException("at " + p); }
    }

    static long parser() { return ((List<?>) new Parser(json).value()).size(); }

    static final String[] names = {"virtual", "strings", "map", "streams", "parser"};
    static final LongSupplier[] all = {Micro::virtual, Micro::strings, Micro::map, Micro::streams, Micro::parser};

    public static void main(String[] a) {
        int n = a.length > 0 ? Integer.parseInt(a[0]) : 400;
        for (int k = 0; k < all.length; k++) {
            long best = Long.MAX_VALUE, sum = 0;
            for (int i = 0; i < n; i++) {
                long t = System.nanoTime();
                sum += all[k].getAsLong();
                best = Math.min(best, System.nanoTime() - t);
            }
            System.out.printf("%-8s %8.3f ms  %d%n", names[k], best / 1e6, sum);
        }
    }
}
