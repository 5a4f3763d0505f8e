package dev.cloudjit.runtime;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;

/** What a process does before it is saved must not be seen by the function. */
class PrimingTest {
    @Test
    void everyStepSucceedsAndLeavesNothingBehind() throws Exception {
        List<String> lines = probe();
        assertEquals("steps failed: 0", lines.get(0));
        assertEquals("properties changed: {}", lines.get(1));
        assertEquals("threads: 0", lines.get(2));
        assertEquals("time zone: as set later", lines.get(3));
        assertEquals("common pool: 7", lines.get(4));
    }

    /** In a process of its own: what this one has initialized says nothing. */
    private static List<String> probe() throws Exception {
        Process process = new ProcessBuilder(Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "-cp", System.getProperty("java.class.path"), Probe.class.getName()).redirectErrorStream(true).start();
        String out = new String(process.getInputStream().readAllBytes());
        assertEquals(0, process.waitFor(), out);
        return out.lines().toList();
    }

    static final class Probe {
        public static void main(String[] args) {
            Object before = System.getProperties().clone();
            int threads = Thread.getAllStackTraces().size();
            Priming priming = new Priming();
            priming.run();
            System.out.println("steps failed: " + priming.failed);
            System.out.println("properties changed: " + (System.getProperties().equals(before) ? "{}" : System.getProperties()));
            System.out.println("threads: " + (Thread.getAllStackTraces().size() - threads));
            // A function may set these before it needs them for the first time.
            System.setProperty("user.timezone", "Asia/Tokyo");
            System.out.println("time zone: " + (java.util.TimeZone.getDefault().getID().equals("Asia/Tokyo") ? "as set later" : "was set before"));
            System.setProperty("java.util.concurrent.ForkJoinPool.common.parallelism", "7");
            System.out.println("common pool: " + java.util.concurrent.ForkJoinPool.commonPool().getParallelism());
        }
    }
}
