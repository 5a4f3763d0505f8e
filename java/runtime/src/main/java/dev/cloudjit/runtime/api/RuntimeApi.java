package dev.cloudjit.runtime.api;

import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.net.URLDecoder;
import java.nio.charset.StandardCharsets;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.concurrent.locks.LockSupport;

/**
 * The Lambda Runtime API of one endpoint. Not thread-safe: a worker runs one invocation at a time.
 *
 * <p>One connection is kept. When the other side closed it between two requests, the request is sent again on a new one:
 * asking for the next event takes nothing that was not delivered, and answers carry the identifier of their invocation.
 */
public final class RuntimeApi {
    private static final String BASE = "/2018-06-01/runtime/";
    private static final int ATTEMPTS = 3;

    private static final byte[] NOTHING = {};

    private final String endpoint;
    /** The request for the next event. */
    private final byte[] next;

    private final Body empty = new Body();
    private volatile Socket socket;
    private OutputStream out;
    private HttpResponse.Input in;
    private boolean used;
    /** The next event is waited for. */
    private volatile boolean waiting;
    private volatile boolean ending;

    /** The endpoint is "host:port"; nothing is sent yet. */
    public RuntimeApi(String endpoint) {
        this.endpoint = endpoint;
        this.next = head("GET ", "invocation/next", "", null);
    }

    /** Connects, so that the first request finds a connection. Not necessary. */
    public void connect() throws IOException {
        if (socket != null) {
            return;
        }
        int colon = endpoint.lastIndexOf(':');
        String host = colon < 0 ? endpoint : endpoint.substring(0, colon);
        int port = colon < 0 ? 80 : Integer.parseInt(endpoint.substring(colon + 1));
        Socket s = new Socket(java.net.Proxy.NO_PROXY);
        try {
            s.setTcpNoDelay(true);
            s.connect(new InetSocketAddress(address(host), port));
            in = new HttpResponse.Input(s.getInputStream());
            out = s.getOutputStream();
        } catch (IOException e) {
            s.close();
            throw new IOException("connect to the Runtime API at " + endpoint + ": " + e.getMessage(), e);
        }
        socket = s;
        used = false;
    }

    /**
     * Does what a copy of this process does first, so that it is not the first time there: connects, and reads and writes
     * messages that go nowhere.
     */
    public void rehearse() throws IOException {
        RuntimeApi other = new RuntimeApi(endpoint);
        other.connect();
        other.close();
        empty.send(head("GET ", "restore/next", "", null), next, OutputStream.nullOutputStream());
        for (String headers : new String[] {"Lambda-Runtime-Environment: A=b", "Lambda-Runtime-Aws-Request-Id: 1\r\nLambda-Runtime-Deadline-Ms: 1"}) {
            String response = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n" + headers + "\r\nContent-Length: 2\r\n\r\n{}";
            HttpResponse read = new HttpResponse(new HttpResponse.Input(new ByteArrayInputStream(response.getBytes(StandardCharsets.UTF_8))));
            environment(read);
            new Invocation(read);
        }
    }

    /** Waits for the next event. */
    public Invocation next() throws IOException {
        return invocation(exchange(next, null));
    }

    /**
     * Hands back the answer and waits for the next event. Both requests leave in one write, so that a platform that
     * answers them in one wakes this process up once. What the platform said to the answer is not told: 202, or why it
     * did not take it (too large, too late), which is the platform's to tell.
     */
    public Invocation respond(String requestId, Body answer) throws IOException {
        byte[] head = head("POST ", "invocation/" + requestId + "/response", "", answer);
        for (int attempt = 1; ; attempt++) {
            connect();
            boolean kept = used;
            used = true;
            boolean taken = false;
            try {
                answer.send(head, next, out);
                taken = read().keepAlive;
                if (taken) {
                    return invocation(await());
                }
                return next();
            } catch (IOException e) {
                close();
                if (taken) {
                    return next();
                }
                if (!kept || attempt == ATTEMPTS) {
                    throw e;
                }
            }
        }
    }

    /**
     * Waits until this process is a copy that goes on, or until it is to go on itself. In a copy the connection is
     * gone, so the question is asked again. Returns the variables of the environment that a copy is given.
     */
    public Map<String, String> restored() throws IOException {
        HttpResponse response = exchange(head("GET ", "restore/next", "", null), null);
        if (response.status != 200) {
            throw new IOException("restore: the Runtime API answered " + response.status);
        }
        return environment(response);
    }

    private static Map<String, String> environment(HttpResponse response) {
        Map<String, String> environment = new LinkedHashMap<>();
        String set = response.header("lambda-runtime-environment");
        if (set != null && !set.isEmpty()) {
            for (String variable : set.split("&")) {
                int equals = variable.indexOf('=');
                environment.put(decode(variable.substring(0, equals)), decode(variable.substring(equals + 1)));
            }
        }
        return environment;
    }

    private static String decode(String s) {
        return URLDecoder.decode(s, StandardCharsets.UTF_8);
    }

    public int fail(String requestId, String errorType, String cause, byte[] document) throws IOException {
        return post("invocation/" + requestId + "/error", errorType, cause, document);
    }

    public int failRestore(String errorType, byte[] document) throws IOException {
        return post("restore/error", errorType, null, document);
    }

    public int failInit(String errorType, byte[] document) throws IOException {
        return post("init/error", errorType, null, document);
    }

    private int post(String path, String errorType, String cause, byte[] document) throws IOException {
        Body body = new Body();
        body.write(document, 0, document.length);
        String headers = "Lambda-Runtime-Function-Error-Type: " + errorType + "\r\n";
        if (cause != null) {
            headers += "Lambda-Runtime-Function-XRay-Error-Cause: " + cause + "\r\n";
        }
        return exchange(head("POST ", path, headers, body), body).status;
    }

    private static Invocation invocation(HttpResponse response) throws IOException {
        if (response.status != 200) {
            throw new IOException("next invocation: the Runtime API answered " + response.status);
        }
        Invocation invocation = new Invocation(response);
        if (invocation.requestId == null && !invocation.checkpoint) {
            throw new IOException("next invocation: the Runtime API sent no request id");
        }
        return invocation;
    }

    private byte[] head(String method, String path, String headers, Body body) {
        StringBuilder head = new StringBuilder(256).append(method).append(BASE).append(path)
                .append(" HTTP/1.1\r\nHost: ").append(endpoint).append("\r\nUser-Agent: cloudjit-java/1.0\r\n")
                .append(headers);
        if (body != null) {
            head.append("Content-Type: application/json\r\nContent-Length: ").append(body.size()).append("\r\n");
        }
        return head.append("\r\n").toString().getBytes(StandardCharsets.UTF_8);
    }

    private HttpResponse exchange(byte[] head, Body body) throws IOException {
        for (int attempt = 1; ; attempt++) {
            connect();
            boolean kept = used;
            used = true;
            try {
                (body == null ? empty : body).send(head, NOTHING, out);
                if (head == next) {
                    return await();
                }
                // What a copy finds: an exception would take it two milliseconds, as the first one there.
                if (kept && attempt < ATTEMPTS && in.ended()) {
                    close();
                    continue;
                }
                return read();
            } catch (IOException e) {
                close();
                // On a fresh connection a failure is real; on a kept one it may be the other side's idle timeout.
                if (!kept || attempt == ATTEMPTS) {
                    throw e;
                }
            }
        }
    }

    /**
     * Called on another thread while the JVM ends. That waits three tenths of a second for threads in native code
     * (VM_Exit::wait_for_threads_in_native_to_block), such as one that reads from a socket: the one that waits for an event does so no more.
     */
    public void end() {
        ending = true;
        Socket s = socket;
        if (waiting && s != null) {
            try {
                s.close();
            } catch (IOException e) {
                // It ends a little later.
            }
        }
    }

    /** Reads the next event; does not return when the JVM ends. */
    private HttpResponse await() throws IOException {
        waiting = true;
        try {
            if (!ending) {
                return read();
            }
        } catch (IOException e) {
            if (!ending) {
                throw e;
            }
        } finally {
            waiting = false;
        }
        while (true) {
            LockSupport.park();
        }
    }

    private HttpResponse read() throws IOException {
        HttpResponse response = new HttpResponse(in);
        if (!response.keepAlive) {
            close();
        }
        return response;
    }

    private void close() {
        try {
            if (socket != null) {
                socket.close();
            }
        } catch (IOException e) {
            // It is given up anyway.
        }
        socket = null;
    }

    /** Numbers are taken as they are: asking the resolver costs milliseconds. */
    private static InetAddress address(String host) throws IOException {
        byte[] ip = new byte[4];
        int part = 0;
        int value = -1;
        for (int i = 0; i <= host.length(); i++) {
            char c = i < host.length() ? host.charAt(i) : '.';
            if (c >= '0' && c <= '9') {
                value = Math.max(value, 0) * 10 + c - '0';
            } else if (c == '.' && value >= 0 && value < 256 && part < 4) {
                ip[part++] = (byte) value;
                value = -1;
            } else {
                return InetAddress.getByName(host);
            }
        }
        return part == 4 ? InetAddress.getByAddress(host, ip) : InetAddress.getByName(host);
    }
}
