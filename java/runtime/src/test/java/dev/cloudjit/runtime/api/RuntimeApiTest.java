package dev.cloudjit.runtime.api;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

@Timeout(20)
class RuntimeApiTest {
    private static final String TAKEN = "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n";
    private static final String EVENT = "HTTP/1.1 200 OK\r\nLambda-Runtime-Aws-Request-Id: r1\r\n";

    @Test
    void readsAnEventWithLength() throws Exception {
        Invocation event = next(EVENT + "LAMBDA-RUNTIME-DEADLINE-MS:  17 \r\nLambda-Runtime-Client-Context: {\"ü\":1}\r\n"
                + "Content-Length: 2\r\n\r\n{}");
        assertEquals("r1", event.requestId);
        assertEquals(17, event.deadline);
        assertEquals("{\"ü\":1}", event.clientContext);
        assertEquals("{}", text(event.payload));
    }

    @Test
    void readsChunks() throws Exception {
        assertEquals("hello world", text(next(EVENT
                + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6;ext=1\r\n world\r\n0\r\nTrailer: x\r\n\r\n").payload));
    }

    @Test
    void readsUntilTheEnd() throws Exception {
        assertEquals("rest", text(next("HTTP/1.0 200 OK\r\nLambda-Runtime-Aws-Request-Id: r1\r\n\r\nrest").payload));
    }

    @Test
    void passesOverInterimResponsesAndBareLineFeeds() throws Exception {
        assertEquals("x", text(next("HTTP/1.1 100 Continue\r\n\r\n" + EVENT.replace("\r", "") + "Content-Length: 1\n\nx").payload));
    }

    @Test
    void readsAPayloadInManyPieces() throws Exception {
        byte[] payload = new byte[6 << 20];
        new Random(1).nextBytes(payload);
        byte[] head = (EVENT + "Content-Length: " + payload.length + "\r\n\r\n").getBytes();
        ByteArrayOutputStream all = new ByteArrayOutputStream();
        all.write(head);
        all.write(payload);
        assertArrayEquals(payload, new Invocation(new HttpResponse(new HttpResponse.Input(trickle(all.toByteArray())))).payload);
    }

    /** A JVM that ends waits for threads that read from sockets: this one does not read any more, and fails nothing. */
    @Test
    void waitsForNothingWhenTheJvmEnds() throws Exception {
        try (ServerSocket server = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
            RuntimeApi api = new RuntimeApi("127.0.0.1:" + server.getLocalPort());
            List<Object> ended = new ArrayList<>();
            Thread waits = new Thread(() -> {
                try {
                    ended.add(api.next());
                } catch (Throwable t) {
                    ended.add(t);
                }
            });
            waits.setDaemon(true);
            waits.start();
            try (Socket platform = server.accept()) {
                assertTrue(platform.getInputStream().read() == 'G');
                api.end();
                while (waits.getState() != Thread.State.WAITING) {
                    assertTrue(waits.isAlive(), () -> "it ended with " + ended);
                    Thread.sleep(5);
                }
            }
        }
    }

    @Test
    void refusesWhatIsNotHttp() {
        for (String bad : new String[] {
            "", "nonsense\r\n\r\n", "HTTP/1.1 abc\r\n\r\n", "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n7fffffffff\r\n", "HTTP/1.1 200 OK\r\nA: b"
        }) {
            assertThrows(IOException.class, () -> next(bad), bad);
        }
    }

    @Test
    void randomBytesEndInAResponseOrAnException() {
        Random random = new Random(3);
        String[] parts = {"HTTP/1.1 200 OK\r\n", "\r\n", "Content-Length: 3\r\n", "Transfer-Encoding: chunked\r\n", "3\r\nabc\r\n", "0\r\n", "x", ":", "\n"};
        for (int i = 0; i < 20_000; i++) {
            StringBuilder text = new StringBuilder();
            for (int n = random.nextInt(8); n >= 0; n--) {
                text.append(parts[random.nextInt(parts.length)]);
            }
            try {
                new HttpResponse(new HttpResponse.Input(new ByteArrayInputStream(text.toString().getBytes())));
            } catch (IOException e) {
                // As it should be.
            }
        }
    }

    @Test
    void sendsHeadAndBodyInOneWriteAndKeepsTheConnection() throws Exception {
        String event = EVENT + "Content-Length: 0\r\n\r\n";
        try (Peer peer = new Peer(List.of(event, TAKEN + event, TAKEN))) {
            RuntimeApi api = new RuntimeApi(peer.endpoint());
            api.next();
            Body answer = new Body();
            answer.write("{\"a\":1}".getBytes());
            assertEquals("r1", api.respond("r1", answer).requestId);
            assertEquals(202, api.fail("r1", "Runtime.X", "{\"c\":1}", "{}".getBytes()));
            assertEquals(1, peer.connections);
            assertTrue(peer.requests.get(0).startsWith("GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: 127.0.0.1:"));
            assertTrue(peer.requests.get(1).startsWith("POST /2018-06-01/runtime/invocation/r1/response HTTP/1.1\r\n"), peer.requests.get(1));
            assertTrue(peer.requests.get(1).endsWith("Content-Length: 7\r\n\r\n{\"a\":1}" + peer.requests.get(0)), peer.requests.get(1));
            assertTrue(peer.requests.get(2).contains("Lambda-Runtime-Function-Error-Type: Runtime.X\r\n"), peer.requests.get(2));
        }
    }

    /** The process that is saved goes on on the same connection; a copy finds it closed, and asks again on another one. */
    @Test
    void aCopyAsksAgainOnANewConnection() throws Exception {
        String event = EVENT + "Content-Length: 0\r\n\r\n";
        String restored = "HTTP/1.1 200 OK\r\nLambda-Runtime-Environment: A=1%202&B=\r\nContent-Length: 0\r\n\r\n";
        try (Peer peer = new Peer(List.of(event, restored))) {
            RuntimeApi api = new RuntimeApi(peer.endpoint());
            api.next();
            assertEquals(Map.of("A", "1 2", "B", ""), api.restored());
            assertEquals(1, peer.connections);
        }
        try (Peer peer = new Peer(List.of(event, "", restored, event))) {
            RuntimeApi api = new RuntimeApi(peer.endpoint());
            api.next();
            assertEquals(Map.of("A", "1 2", "B", ""), api.restored());
            assertEquals("r1", api.next().requestId);
            assertEquals(2, peer.connections);
        }
    }

    @Test
    void connectsAgainWhenAKeptConnectionWasClosed() throws Exception {
        try (Peer peer = new Peer(List.of(EVENT + "Content-Length: 1\r\n\r\na", "", EVENT + "Connection: close\r\nContent-Length: 1\r\n\r\nb",
                EVENT + "Content-Length: 1\r\n\r\nc"))) {
            RuntimeApi api = new RuntimeApi(peer.endpoint());
            assertEquals("a", text(api.next().payload));
            assertEquals("b", text(api.next().payload));
            assertEquals("c", text(api.next().payload));
            assertEquals(3, peer.connections);
        }
    }

    @Test
    void sendsAnAnswerAgainOnlyUntilItWasTaken() throws Exception {
        String event = EVENT + "Content-Length: 1\r\n\r\n";
        String refused = "HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
        try (Peer peer = new Peer(List.of(event + "a", "", TAKEN + event + "b", TAKEN, event + "c", refused, event + "d"))) {
            RuntimeApi api = new RuntimeApi(peer.endpoint());
            Body answer = new Body();
            assertEquals("a", text(api.next().payload));
            assertEquals("b", text(api.respond("r1", answer).payload));
            // The connection ends between the two answers.
            peer.closeAfter = TAKEN;
            assertEquals("c", text(api.respond("r2", answer).payload));
            assertEquals("d", text(api.respond("r3", answer).payload));
            long answers = peer.requests.stream().filter(r -> r.startsWith("POST")).count();
            assertEquals(3, answers, String.join("\n", peer.requests));
        }
    }

    @Test
    void bodiesOfAllSizesFollowTheirHead() throws Exception {
        for (int size : new int[] {0, 1, 4095, 4096, 4097, 1 << 20, 7 << 20}) {
            byte[] content = new byte[size];
            new Random(size).nextBytes(content);
            Body body = new Body();
            body.write(content, 0, size);
            for (int head : new int[] {1, 1024, 1025, 3000}) {
                ByteArrayOutputStream sent = new ByteArrayOutputStream();
                body.send(new byte[head], new byte[] {7, 8}, sent);
                assertEquals(head + size + 2, sent.size());
                assertEquals(8, sent.toByteArray()[head + size + 1]);
            }
            assertArrayEquals(content, body.toByteArray());
            body.reset();
            assertEquals(0, body.size());
        }
    }

    private static Invocation next(String response) throws IOException {
        return new Invocation(new HttpResponse(new HttpResponse.Input(
                new ByteArrayInputStream(response.getBytes(StandardCharsets.UTF_8)))));
    }

    private static String text(byte[] bytes) {
        return new String(bytes, StandardCharsets.UTF_8);
    }

    /** At most 1000 bytes a read. */
    private static InputStream trickle(byte[] bytes) {
        return new ByteArrayInputStream(bytes) {
            @Override
            public synchronized int read(byte[] target, int offset, int length) {
                return super.read(target, offset, Math.min(length, 1000));
            }
        };
    }

    /** Answers one request after the other with what it was given; "" closes the connection instead. */
    private static final class Peer implements AutoCloseable {
        final List<String> requests = new ArrayList<>();
        volatile int connections;
        /** A response after which the connection is closed. */
        volatile String closeAfter = "";

        private final ServerSocket server = new ServerSocket(0, 5, InetAddress.getByName("127.0.0.1"));
        private final Thread thread;

        Peer(List<String> responses) throws IOException {
            thread = new Thread(() -> serve(new ArrayList<>(responses)));
            thread.start();
        }

        String endpoint() {
            return "127.0.0.1:" + server.getLocalPort();
        }

        private void serve(List<String> responses) {
            while (!responses.isEmpty()) {
                try (Socket socket = server.accept()) {
                    connections++;
                    boolean open = true;
                    while (open && !responses.isEmpty()) {
                        byte[] buffer = new byte[65536];
                        int n = socket.getInputStream().read(buffer);
                        if (n < 0) {
                            break;
                        }
                        String response = responses.remove(0);
                        open = !response.isEmpty() && !response.contains("Connection: close") && !response.equals(closeAfter);
                        if (!response.isEmpty()) {
                            requests.add(new String(buffer, 0, n, StandardCharsets.UTF_8));
                        }
                        socket.getOutputStream().write(response.getBytes(StandardCharsets.UTF_8));
                    }
                } catch (IOException e) {
                    return;
                }
            }
        }

        @Override
        public void close() throws Exception {
            server.close();
            thread.join();
        }
    }
}
