package dev.cloudjit.tracer.test;

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.lang.reflect.Field;
import java.lang.reflect.Method;
import java.lang.reflect.Proxy;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * Measures what the tracer costs, as traced / untraced of the same work in one run:
 * {@code java -cp target/test-classes dev.cloudjit.tracer.test.Overhead target/tracer.jar [ROUNDS]}.
 * Plain and traced JVMs take turns, and the medians are printed.
 */
public final class Overhead {
    private Overhead() {}

    public static class Target {
        public int value = 1;

        public int call(int n) {
            return n + value;
        }
    }

    interface Callable {
        int call(int n);
    }

    private interface Work {
        Object run(int i) throws Exception;
    }

    public static void main(String[] arguments) throws Exception {
        if (arguments.length == 0) {
            work();
            return;
        }
        int rounds = arguments.length > 1 ? Integer.parseInt(arguments[1]) : 7;
        Path out = Files.createTempDirectory("overhead");
        Map<String, List<Double>> plain = new LinkedHashMap<>();
        Map<String, List<Double>> traced = new LinkedHashMap<>();
        for (int i = 0; i < rounds; i++) {
            run(null, plain);
            run("-javaagent:" + arguments[0] + "=out=" + out, traced);
        }
        Files.deleteIfExists(out.resolve("reachability-metadata.json"));
        Files.delete(out);
        System.out.printf("%-28s %12s %12s %8s   median of %d%n", "", "plain", "traced", "ratio", rounds);
        for (String name : plain.keySet()) {
            double p = median(plain.get(name));
            double t = median(traced.get(name));
            System.out.printf("%-28s %12.1f %12.1f %8.2f%n", name, p, t, t / p);
        }
    }

    private static void run(String agent, Map<String, List<Double>> results) throws Exception {
        List<String> command = new ArrayList<>(List.of(Path.of(System.getProperty("java.home"), "bin", "java").toString(), "-Xmx256m", "-XX:+UseSerialGC"));
        if (agent != null) {
            command.add(agent);
        }
        command.addAll(List.of("-cp", System.getProperty("java.class.path"), Overhead.class.getName()));
        long start = System.nanoTime();
        Process process = new ProcessBuilder(command).redirectError(ProcessBuilder.Redirect.INHERIT).start();
        try (BufferedReader reader = new BufferedReader(new InputStreamReader(process.getInputStream()))) {
            reader.readLine(); // main began
            results.computeIfAbsent("start of the JVM, ms", k -> new ArrayList<>()).add((System.nanoTime() - start) / 1e6);
            for (String line; (line = reader.readLine()) != null; ) {
                int tab = line.indexOf('\t');
                results.computeIfAbsent(line.substring(0, tab), k -> new ArrayList<>()).add(Double.parseDouble(line.substring(tab + 1)));
            }
        }
        if (process.waitFor() != 0) {
            throw new IllegalStateException("exit code " + process.exitValue());
        }
    }

    private static double median(List<Double> values) {
        double[] sorted = values.stream().mapToDouble(Double::doubleValue).sorted().toArray();
        return sorted[sorted.length / 2];
    }

    private static void work() throws Exception {
        System.out.println("main");
        System.out.flush();
        Target target = new Target();
        Method call = Target.class.getMethod("call", int.class);
        Field value = Target.class.getField("value");
        Callable proxy = (Callable) Proxy.newProxyInstance(Overhead.class.getClassLoader(), new Class<?>[] {Callable.class}, (p, m, a) -> a[0]);
        measure("Method.invoke, ns", i -> call.invoke(target, i));
        measure("Field.get, ns", i -> value.get(target));
        measure("Class.getMethod, ns", i -> Target.class.getMethod("call", int.class));
        measure("Class.getMethods, ns", i -> Target.class.getMethods());
        measure("Class.forName, ns", i -> Class.forName("dev.cloudjit.tracer.test.Overhead$Target"));
        measure("getResource, absent, ns", i -> Overhead.class.getResource("none"));
        measure("call of a proxy, ns", i -> proxy.call(i));
        measure("no reflection, ns", i -> Arrays.hashCode(new int[] {i, i + 1, i + 2}));
    }

    private static Object sink;

    private static void measure(String name, Work work) throws Exception {
        double best = Double.MAX_VALUE;
        for (int round = 0; round < 8; round++) {
            int count = 0;
            long start = System.nanoTime();
            long end = start + 25_000_000;
            long now;
            do {
                for (int i = 0; i < 100; i++) {
                    sink = work.run(i);
                }
                count += 100;
                now = System.nanoTime();
            } while (now < end);
            best = Math.min(best, (double) (now - start) / count);
        }
        System.out.println(name + "\t" + best);
    }
}
