package dev.cloudjit.runtime;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** The client as a process, against a stand-in Runtime API. */
@Timeout(60)
class MainTest {
    @TempDir
    Path folder;

    @Test
    void servesInvocationsFailsSomeAndEndsWhenItMust() throws Exception {
        try (Platform platform = new Platform()) {
            platform.events.add("{\"do\":\"tell\"}");
            platform.events.add("{\"do\":\"throw\"}");
            platform.events.add("{\"do\":\"interrupt\"}");
            platform.events.add("[broken");
            platform.events.add("{\"do\":\"exhaust\"}");
            int code = run(platform, "sample.Probe");
            assertEquals(1, code, output());

            assertEquals("response {\"requestId\":\"id-1\",\"group\":\"/aws/lambda/probe\",\"stream\":\"s\",\"name\":\"probe\",\"version\":\"7\","
                    + "\"arn\":\"arn:aws:lambda:x:1:function:probe\",\"memory\":256,\"timeLeft\":true,\"identity\":\"me\",\"app\":\"shop\","
                    + "\"custom\":{\"k\":\"v\"},\"trace\":\"Root=1-2-3\"}", platform.take());
            assertEquals("error Runtime.UserException {\"errorMessage\":\"as told\",\"errorType\":\"java.lang.IllegalArgumentException\","
                    + "\"stackTrace\":[\"sample.Probe.handleRequest(Probe.java:16)\",\"sample.Probe.handleRequest(Probe.java:12)\"]}", platform.take());
            assertTrue(platform.take().startsWith("response {\"requestId\":\"id-3\""));
            assertEquals("error Runtime.UserException {\"errorMessage\":\"An error occurred during JSON parsing\","
                    + "\"errorType\":\"java.lang.RuntimeException\",\"stackTrace\":[]}", platform.take());
            assertTrue(platform.take().startsWith("error Runtime.UserException {\"errorMessage\":\"as told\",\"errorType\":\"java.lang.OutOfMemoryError\""));

            String out = output();
            assertTrue(out.contains("printed é\nprinted to stderr\nlogged\n[WARN] warned\n"), out);
            assertTrue(out.contains("as told: java.lang.IllegalArgumentException\njava.lang.IllegalArgumentException: as told\n\tat sample.Probe"), out);
            assertTrue(out.contains("Caused by: java.lang.RuntimeException: the cause\n"), out);
        }
    }

    @Test
    void reportsFailedInitialization() throws Exception {
        try (Platform platform = new Platform()) {
            assertEquals(1, run(platform, "sample.Broken::handle"), output());
            assertEquals("init Runtime.BadFunctionCode {\"errorMessage\":\"no database\",\"errorType\":\"java.lang.IllegalStateException\"}",
                    platform.take());
            assertTrue(output().contains("no database: java.lang.IllegalStateException\n"), output());
        }
    }

    @Test
    void endsWhenThePlatformIsGone() throws Exception {
        Platform platform = new Platform();
        platform.close();
        assertEquals(2, run(platform, "sample.Probe"), output());
        assertTrue(output().contains("The Runtime API failed: connect"), output());
    }

    private int run(Platform platform, String handler) throws Exception {
        Path java = Path.of(System.getProperty("java.home"), "bin", "java");
        ProcessBuilder builder = new ProcessBuilder(java.toString(), "-XX:TieredStopAtLevel=1", "-cp",
                System.getProperty("java.class.path"), Main.class.getName());
        builder.environment().putAll(Map.of("_HANDLER", handler, "AWS_LAMBDA_RUNTIME_API", platform.endpoint(),
                "AWS_LAMBDA_FUNCTION_NAME", "probe", "AWS_LAMBDA_FUNCTION_VERSION", "7", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256",
                "AWS_LAMBDA_LOG_GROUP_NAME", "/aws/lambda/probe", "AWS_LAMBDA_LOG_STREAM_NAME", "s", "LC_ALL", "POSIX"));
        Process process = builder.redirectErrorStream(true).redirectOutput(folder.resolve("out").toFile()).start();
        try {
            assertTrue(process.waitFor(40, TimeUnit.SECONDS), "the client did not end: " + output());
            return process.exitValue();
        } finally {
            process.destroyForcibly();
        }
    }

    private String output() throws IOException {
        Path file = folder.resolve("out");
        return Files.exists(file) ? Files.readString(file) : "";
    }

    /** Hands out events and keeps what comes back. */
    private static final class Platform implements AutoCloseable {
        final BlockingQueue<String> events = new LinkedBlockingQueue<>();
        private final BlockingQueue<String> results = new LinkedBlockingQueue<>();
        private final List<String> ids = new ArrayList<>();
        private final HttpServer server = HttpServer.create(new InetSocketAddress(InetAddress.getByName("127.0.0.1"), 0), 0);
        private final ExecutorService threads = Executors.newCachedThreadPool();

        Platform() throws IOException {
            server.createContext("/2018-06-01/runtime/", this::handle);
            server.setExecutor(threads);
            server.start();
        }

        String endpoint() {
            return "127.0.0.1:" + server.getAddress().getPort();
        }

        String take() throws InterruptedException {
            return String.valueOf(results.poll(1, TimeUnit.SECONDS));
        }

        private void handle(HttpExchange exchange) throws IOException {
            String path = exchange.getRequestURI().getPath().substring("/2018-06-01/runtime/".length());
            String body = new String(exchange.getRequestBody().readAllBytes(), StandardCharsets.UTF_8);
            if (path.equals("invocation/next")) {
                next(exchange);
                return;
            }
            String type = exchange.getRequestHeaders().getFirst("Lambda-Runtime-Function-Error-Type");
            String kind = path.equals("init/error") ? "init" : path.substring(path.lastIndexOf('/') + 1);
            results.add(kind + (type == null ? "" : " " + type) + " " + body);
            exchange.sendResponseHeaders(202, -1);
            exchange.close();
        }

        private void next(HttpExchange exchange) throws IOException {
            String event;
            try {
                event = events.take();
            } catch (InterruptedException e) {
                exchange.close();
                return;
            }
            ids.add("id-" + (ids.size() + 1));
            exchange.getResponseHeaders().set("Lambda-Runtime-Aws-Request-Id", ids.get(ids.size() - 1));
            exchange.getResponseHeaders().set("Lambda-Runtime-Deadline-Ms", String.valueOf(System.currentTimeMillis() + 60_000));
            exchange.getResponseHeaders().set("Lambda-Runtime-Invoked-Function-Arn", "arn:aws:lambda:x:1:function:probe");
            exchange.getResponseHeaders().set("Lambda-Runtime-Trace-Id", "Root=1-2-3");
            exchange.getResponseHeaders().set("Lambda-Runtime-Client-Context",
                    "{\"client\":{\"app_title\":\"shop\"},\"custom\":{\"k\":\"v\"},\"env\":{}}");
            exchange.getResponseHeaders().set("Lambda-Runtime-Cognito-Identity", "{\"cognitoIdentityId\":\"me\"}");
            byte[] bytes = event.getBytes(StandardCharsets.UTF_8);
            // A length of 0 means chunked here: both framings are met.
            exchange.sendResponseHeaders(200, ids.size() % 2 == 0 ? 0 : bytes.length);
            exchange.getResponseBody().write(bytes);
            exchange.close();
        }

        @Override
        public void close() {
            server.stop(0);
            threads.shutdownNow();
        }
    }
}
