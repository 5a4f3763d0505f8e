package dev.cloudjit.runtime;

import com.amazonaws.services.lambda.runtime.Context;
import com.amazonaws.services.lambda.runtime.RequestHandler;
import java.io.IOException;
import java.io.InputStream;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * A run of the client against itself, in which a JVM that archives classes sees those that every start needs. Never part
 * of a worker.
 */
final class Training {
    private Training() {}

    /** Returns the endpoint of a Runtime API that hands out a few events and then goes away. */
    static String endpoint() throws IOException {
        ServerSocket server = new ServerSocket(0, 1, InetAddress.getByAddress(new byte[] {127, 0, 0, 1}));
        Thread thread = new Thread(new Runnable() {
            @Override
            public void run() {
                try (ServerSocket closing = server; Socket socket = closing.accept()) {
                    serve(socket);
                } catch (IOException e) {
                    // The client says what failed.
                }
            }
        });
        thread.setDaemon(true);
        thread.start();
        return "127.0.0.1:" + server.getLocalPort();
    }

    static String handler() {
        return Echo.class.getName();
    }

    private static void serve(Socket socket) throws IOException {
        String[] events = {"{\"name\":\"x\",\"n\":[1,2.5,true,null]}", "{\"name\":}", "{}"};
        for (String event : events) {
            readRequest(socket.getInputStream());
            send(socket, "HTTP/1.1 200 OK\r\nLambda-Runtime-Aws-Request-Id: 1\r\nLambda-Runtime-Deadline-Ms: 1\r\n"
                    + "Content-Length: " + event.length() + "\r\n\r\n" + event);
            readRequest(socket.getInputStream());
            send(socket, "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n");
        }
    }

    /** The requests of the training fit one read, because the client sends each in one write. */
    private static void readRequest(InputStream in) throws IOException {
        if (in.read(new byte[64 << 10]) < 0) {
            throw new IOException("the client went away");
        }
    }

    private static void send(Socket socket, String response) throws IOException {
        socket.getOutputStream().write(response.getBytes(StandardCharsets.US_ASCII));
    }

    /** A handler, and an event that is a bean. */
    public static final class Echo implements RequestHandler<Echo.Event, Map<String, Object>> {
        @Override
        public Map<String, Object> handleRequest(Event event, Context context) {
            Map<String, Object> answer = new LinkedHashMap<>();
            answer.put("name", event.getName());
            answer.put("left", context.getRemainingTimeInMillis());
            return answer;
        }

        public static final class Event {
            private String name;

            public String getName() {
                return name;
            }

            public void setName(String name) {
                this.name = name;
            }
        }
    }
}
