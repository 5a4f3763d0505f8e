import java.io.InputStream;
import java.net.InetAddress;
import java.security.KeyStore;
import java.util.Map;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLServerSocket;
import javax.net.ssl.SSLSocket;
import javax.net.ssl.TrustManagerFactory;

/** A handler with a timer and a TLS connection that outlast its invocations; see TestWhatLastsSurvivesThePause. */
public class Lasting {
    private static final char[] SECRET = "changeit".toCharArray();
    private final AtomicInteger ticks = new AtomicInteger();
    private final SSLSocket connection;
    private int calls;

    public Lasting() throws Exception {
        KeyStore keys = KeyStore.getInstance("PKCS12");
        try (InputStream in = Lasting.class.getResourceAsStream("/key.p12")) {
            keys.load(in, SECRET);
        }
        KeyManagerFactory own = KeyManagerFactory.getInstance(KeyManagerFactory.getDefaultAlgorithm());
        own.init(keys, SECRET);
        TrustManagerFactory trusted = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
        trusted.init(keys);
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(own.getKeyManagers(), trusted.getTrustManagers(), null);
        SSLServerSocket listener = (SSLServerSocket) context.getServerSocketFactory()
                .createServerSocket(0, 1, InetAddress.getLoopbackAddress());
        Thread echo = new Thread(() -> {
            try (var peer = listener.accept()) {
                peer.getInputStream().transferTo(peer.getOutputStream());
            } catch (Exception e) {
                e.printStackTrace();
            }
        });
        echo.setDaemon(true);
        echo.start();
        connection = (SSLSocket) context.getSocketFactory().createSocket(InetAddress.getLoopbackAddress(), listener.getLocalPort());
        Executors.newSingleThreadScheduledExecutor(r -> {
            Thread t = new Thread(r);
            t.setDaemon(true);
            return t;
        }).scheduleWithFixedDelay(ticks::incrementAndGet, 0, 20, TimeUnit.MILLISECONDS);
    }

    public Map<String, Object> handle(Map<String, Object> event) throws Exception {
        int before = ticks.get();
        Thread.sleep(200);
        int after = ticks.get();
        connection.getOutputStream().write(++calls);
        connection.getOutputStream().flush();
        return Map.of("calls", calls, "echo", connection.getInputStream().read(), "before", before, "after", after);
    }
}
