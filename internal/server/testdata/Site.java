import java.io.InputStream;
import java.io.OutputStream;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.nio.charset.StandardCharsets;

/** A web application without a framework, so that it can do what frameworks do not let one do. */
public class Site {
    public static void main(String[] args) throws Exception {
        try (ServerSocket server = new ServerSocket()) {
            server.bind(new InetSocketAddress("0.0.0.0", Integer.parseInt(System.getenv("PORT"))));
            while (true) {
                Socket s = server.accept();
                Thread.ofPlatform().daemon().start(() -> serve(s));
            }
        }
    }

    static void serve(Socket s) {
        try (s; InputStream in = s.getInputStream(); OutputStream out = s.getOutputStream()) {
            String head = head(in);
            if (head.isEmpty()) {
                return; // the platform looks whether somebody listens
            }
            String path = head.split(" ", 3)[1];
            switch (path) {
                case "/hang" -> Thread.sleep(3_600_000);
                case "/events" -> { // for four seconds
                    answer(out, "200 OK\r\nContent-Type: text/event-stream");
                    for (int i = 0; i < 8; i++) {
                        write(out, "data: " + i + "\n\n");
                        Thread.sleep(500);
                    }
                }
                case "/endless" -> {
                    answer(out, "200 OK");
                    for (byte[] chunk = new byte[65536];;) {
                        out.write(chunk);
                    }
                }
                case "/upload" -> { // chunked, not decoded: answers to the first byte of the body
                    int first = in.read();
                    answer(out, "200 OK");
                    write(out, "first " + first + "\n");
                    long n = 1;
                    String last = "";
                    while (!last.endsWith("0\r\n\r\n")) {
                        byte[] b = new byte[8192];
                        int k = in.read(b);
                        if (k < 0) {
                            return;
                        }
                        n += k;
                        last += new String(b, 0, k, StandardCharsets.ISO_8859_1);
                        last = last.substring(Math.max(0, last.length() - 5));
                    }
                    write(out, "all " + (n > 100_000 ? "of it" : n));
                }
                case "/upgrade" -> {
                    write(out, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: shout\r\n\r\n");
                    for (int c; (c = in.read()) >= 0;) {
                        out.write(Character.toUpperCase(c));
                        out.flush();
                    }
                }
                default -> {
                    answer(out, "200 OK\r\nContent-Type: application/json");
                    write(out, "{\"id\":\"" + path.substring(1) + "\",\"tag\":\"" + System.getenv("TAG") + "\"}");
                }
            }
        } catch (Exception e) {
            // whoever asked has gone
        }
    }

    static void answer(OutputStream out, String status) throws Exception {
        write(out, "HTTP/1.1 " + status + "\r\nConnection: close\r\n\r\n");
    }

    static void write(OutputStream out, String text) throws Exception {
        out.write(text.getBytes(StandardCharsets.UTF_8));
        out.flush();
    }

    static String head(InputStream in) throws Exception {
        StringBuilder b = new StringBuilder();
        while (b.length() < 65536 && b.indexOf("\r\n\r\n") < 0) {
            int c = in.read();
            if (c < 0) {
                return "";
            }
            b.append((char) c);
        }
        return b.toString();
    }
}
