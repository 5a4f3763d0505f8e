package hello;

import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.io.InputStream;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.Executors;

/** A small web application: a greeting page, and word counts of what is posted. Listens on $PORT. */
public final class Server {
    private Server() {}

    public static void main(String[] args) throws IOException {
        int port = Integer.parseInt(System.getenv().getOrDefault("PORT", "8080"));
        HttpServer server = HttpServer.create(new InetSocketAddress(port), 0);
        server.setExecutor(Executors.newFixedThreadPool(4));
        server.createContext("/", Server::greet);
        server.createContext("/count", Server::count);
        server.start();
        System.out.println("listening on port " + port);
    }

    private static void greet(HttpExchange exchange) throws IOException {
        String path = exchange.getRequestURI().getPath();
        if (!path.equals("/") && !path.startsWith("/hello/")) {
            send(exchange, 404, "text/plain", "nothing here\n");
            return;
        }
        String name = path.equals("/") ? "world" : path.substring("/hello/".length());
        send(exchange, 200, "text/html", template().replace("{name}", escape(name)));
    }

    private static void count(HttpExchange exchange) throws IOException {
        if (!exchange.getRequestMethod().equals("POST")) {
            send(exchange, 405, "text/plain", "post a text\n");
            return;
        }
        String text = new String(exchange.getRequestBody().readAllBytes(), StandardCharsets.UTF_8);
        Map<String, Integer> counts = new TreeMap<>();
        for (String word : text.toLowerCase().split("\\W+")) {
            if (!word.isEmpty()) {
                counts.merge(word, 1, Integer::sum);
            }
        }
        StringBuilder json = new StringBuilder("{");
        counts.forEach((word, n) -> json.append(json.length() > 1 ? "," : "").append('"').append(word).append("\":").append(n));
        send(exchange, 200, "application/json", json.append("}\n").toString());
    }

    private static String template() throws IOException {
        try (InputStream in = Server.class.getResourceAsStream("/page.html")) {
            return new String(in.readAllBytes(), StandardCharsets.UTF_8);
        }
    }

    private static String escape(String text) {
        return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;");
    }

    private static void send(HttpExchange exchange, int status, String type, String body) throws IOException {
        byte[] bytes = body.getBytes(StandardCharsets.UTF_8);
        exchange.getResponseHeaders().set("Content-Type", type + "; charset=utf-8");
        exchange.sendResponseHeaders(status, bytes.length);
        exchange.getResponseBody().write(bytes);
        exchange.close();
    }
}
