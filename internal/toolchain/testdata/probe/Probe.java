import com.sun.net.httpserver.HttpServer;
import java.io.BufferedReader;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.RandomAccessFile;
import java.io.StringReader;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.lang.management.ManagementFactory;
import java.lang.ref.Cleaner;
import java.lang.ref.WeakReference;
import java.math.BigInteger;
import java.net.DatagramPacket;
import java.net.DatagramSocket;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.NetworkInterface;
import java.net.ServerSocket;
import java.net.Socket;
import java.net.StandardProtocolFamily;
import java.net.URI;
import java.net.UnixDomainSocketAddress;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.channels.SelectionKey;
import java.nio.channels.Selector;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.nio.charset.Charset;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.nio.file.StandardWatchEventKinds;
import java.nio.file.attribute.PosixFilePermissions;
import java.security.KeyPair;
import java.security.KeyPairGenerator;
import java.security.KeyStore;
import java.security.MessageDigest;
import java.security.SecureRandom;
import java.security.Signature;
import java.text.Collator;
import java.text.Normalizer;
import java.text.NumberFormat;
import java.time.Instant;
import java.time.LocalDate;
import java.time.ZoneId;
import java.time.format.DateTimeFormatter;
import java.time.format.FormatStyle;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import java.util.Locale;
import java.util.Random;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.Executors;
import java.util.concurrent.ForkJoinPool;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.regex.Pattern;
import java.util.stream.IntStream;
import java.util.zip.CRC32;
import java.util.zip.Deflater;
import java.util.zip.GZIPInputStream;
import java.util.zip.GZIPOutputStream;
import java.util.zip.Inflater;
import java.util.zip.ZipEntry;
import java.util.zip.ZipFile;
import java.util.zip.ZipOutputStream;
import javax.crypto.Cipher;
import javax.crypto.KeyAgreement;
import javax.crypto.Mac;
import javax.crypto.SecretKeyFactory;
import javax.crypto.spec.GCMParameterSpec;
import javax.crypto.spec.PBEKeySpec;
import javax.crypto.spec.SecretKeySpec;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLServerSocket;
import javax.net.ssl.SSLSocket;
import javax.net.ssl.TrustManagerFactory;

/**
 * Uses the parts of the JDK that need native code, and prints what it sees. On HotSpot and as a native
 * image the output must be the same, byte for byte: it is the acceptance test of an assembled builder.
 */
public final class Probe {
    private interface Section {
        Object run() throws Throwable;
    }

    private record Point(int x, int y) {
    }

    private static Path folder;
    private static int counter;

    private Probe() {
    }

    public static void main(String[] arguments) throws Exception {
        switch (arguments[0]) {
            case "all" -> all(Path.of(arguments[1]));
            case "limits" -> limits();
            case "exit" -> System.exit(Integer.parseInt(arguments[1]));
            case "throw" -> throw new IllegalStateException("as asked");
            case "wait" -> awaitTermination();
            default -> throw new IllegalArgumentException(arguments[0]);
        }
    }

    private static void show(String name, Section section) {
        String text;
        try {
            text = String.valueOf(section.run());
        } catch (Throwable t) {
            text = "failed: " + t;
            t.printStackTrace();
        }
        System.out.println(name + ": " + text);
    }

    private static void all(Path keys) throws Exception {
        folder = Files.createTempDirectory("probe");
        try {
            sockets();
            files();
            archives();
            cryptography();
            show("tls handshake", () -> tls(keys));
            text();
            processes();
            threads();
            memory();
            management();
            language();
        } finally {
            try (var paths = Files.walk(folder)) {
                paths.sorted((a, b) -> b.compareTo(a)).forEach(p -> p.toFile().delete());
            }
        }
    }

    // ---- sockets

    private static void sockets() {
        show("tcp echo", () -> {
            try (ServerSocket server = new ServerSocket(0, 5, InetAddress.getLoopbackAddress())) {
                Thread echo = Thread.ofPlatform().start(() -> {
                    try (Socket s = server.accept()) {
                        s.getInputStream().transferTo(s.getOutputStream());
                    } catch (IOException e) {
                        e.printStackTrace();
                    }
                });
                try (Socket client = new Socket(server.getInetAddress(), server.getLocalPort())) {
                    client.setTcpNoDelay(true);
                    client.setOption(jdk.net.ExtendedSocketOptions.TCP_KEEPIDLE, 77);
                    client.getOutputStream().write("over tcp".getBytes());
                    client.shutdownOutput();
                    String answer = new String(client.getInputStream().readAllBytes());
                    echo.join();
                    return answer + " " + client.getOption(jdk.net.ExtendedSocketOptions.TCP_KEEPIDLE);
                }
            }
        });
        show("udp", () -> {
            try (DatagramSocket a = new DatagramSocket(0, InetAddress.getLoopbackAddress());
                    DatagramSocket b = new DatagramSocket(0, InetAddress.getLoopbackAddress())) {
                byte[] data = "datagram".getBytes();
                a.send(new DatagramPacket(data, data.length, b.getLocalSocketAddress()));
                DatagramPacket got = new DatagramPacket(new byte[100], 100);
                b.setSoTimeout(5000);
                b.receive(got);
                return new String(got.getData(), 0, got.getLength());
            }
        });
        show("selector", () -> {
            try (Selector selector = Selector.open(); ServerSocketChannel server = ServerSocketChannel.open()) {
                server.bind(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0)).configureBlocking(false);
                server.register(selector, SelectionKey.OP_ACCEPT);
                try (SocketChannel client = SocketChannel.open(server.getLocalAddress())) {
                    selector.select(5000);
                    try (SocketChannel accepted = server.accept()) {
                        client.write(ByteBuffer.wrap("nio".getBytes()));
                        accepted.configureBlocking(false);
                        accepted.register(selector, SelectionKey.OP_READ);
                        selector.selectedKeys().clear();
                        selector.select(5000);
                        ByteBuffer buffer = ByteBuffer.allocateDirect(10);
                        return accepted.read(buffer) + " " + selector.selectedKeys().size();
                    }
                }
            }
        });
        show("unix domain socket", () -> {
            UnixDomainSocketAddress address = UnixDomainSocketAddress.of(folder.resolve("socket"));
            try (ServerSocketChannel server = ServerSocketChannel.open(StandardProtocolFamily.UNIX)) {
                server.bind(address);
                try (SocketChannel client = SocketChannel.open(address); SocketChannel accepted = server.accept()) {
                    client.write(ByteBuffer.wrap("unix".getBytes()));
                    ByteBuffer buffer = ByteBuffer.allocate(10);
                    return accepted.read(buffer);
                }
            }
        });
        show("refused", () -> {
            int port;
            try (ServerSocket s = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
                port = s.getLocalPort();
            }
            try (Socket s = new Socket(InetAddress.getLoopbackAddress(), port)) {
                return "connected";
            } catch (IOException e) {
                return e.getClass().getName() + " " + e.getMessage();
            }
        });
        show("addresses", () -> InetAddress.getByName("127.0.0.1") + " " + InetAddress.getByName("::1") + " "
                + InetAddress.getByName("localhost").isLoopbackAddress());
        show("loopback interface", () -> NetworkInterface.getByInetAddress(InetAddress.getByName("127.0.0.1")).isLoopback());
        show("http", () -> {
            HttpServer server = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
            server.createContext("/", exchange -> {
                byte[] body = ("you asked for " + exchange.getRequestURI()).getBytes();
                exchange.sendResponseHeaders(200, body.length);
                try (var out = exchange.getResponseBody()) {
                    out.write(body);
                }
            });
            server.setExecutor(Executors.newVirtualThreadPerTaskExecutor());
            server.start();
            try (HttpClient client = HttpClient.newHttpClient()) {
                URI uri = URI.create("http://127.0.0.1:" + server.getAddress().getPort() + "/x?y=1");
                String modern = client.send(HttpRequest.newBuilder(uri).build(), HttpResponse.BodyHandlers.ofString()).body();
                try (var in = uri.toURL().openStream()) {
                    return modern + ", " + new String(in.readAllBytes());
                }
            } finally {
                server.stop(0);
            }
        });
    }

    // ---- files

    private static void files() {
        Path file = folder.resolve("fïle");
        show("file", () -> {
            Files.writeString(file, "content\n");
            Files.setPosixFilePermissions(file, PosixFilePermissions.fromString("rw-r-----"));
            return Files.size(file) + " " + PosixFilePermissions.toString(Files.getPosixFilePermissions(file)) + " "
                    + Files.readAllLines(file) + " " + file.getFileName() + " " + Files.getOwner(file).getName().isEmpty();
        });
        show("links", () -> {
            Path link = Files.createSymbolicLink(folder.resolve("link"), file.getFileName());
            Path hard = Files.createLink(folder.resolve("hard"), file);
            return Files.readSymbolicLink(link) + " " + Files.isSameFile(hard, file) + " " + Files.getAttribute(file, "unix:nlink");
        });
        show("map and lock", () -> {
            try (FileChannel c = FileChannel.open(folder.resolve("map"), StandardOpenOption.CREATE, StandardOpenOption.READ,
                    StandardOpenOption.WRITE); var lock = c.lock()) {
                var map = c.map(FileChannel.MapMode.READ_WRITE, 0, 8192);
                map.putLong(4096, 42);
                map.force();
                return map.getLong(4096) + " " + lock.isValid() + " " + c.size();
            }
        });
        show("random access", () -> {
            try (RandomAccessFile f = new RandomAccessFile(folder.resolve("raf").toFile(), "rw")) {
                f.setLength(100);
                f.seek(50);
                f.writeUTF("ü");
                f.seek(50);
                return f.readUTF() + " " + f.length();
            }
        });
        show("watch", () -> {
            try (var watcher = folder.getFileSystem().newWatchService()) {
                folder.register(watcher, StandardWatchEventKinds.ENTRY_CREATE);
                Files.createFile(folder.resolve("watched"));
                var key = watcher.poll(10, TimeUnit.SECONDS);
                return key == null ? "nothing" : key.pollEvents().getFirst().context();
            }
        });
        show("missing file", () -> {
            try {
                return Files.readString(folder.resolve("none"));
            } catch (IOException e) {
                return e.getClass().getName();
            }
        });
        show("space", () -> folder.toFile().getTotalSpace() > 0 && Files.getFileStore(folder).getUsableSpace() >= 0);
        show("temporary folder", () -> System.getProperty("java.io.tmpdir"));
    }

    // ---- archives

    private static void archives() {
        byte[] data = "to be or not to be ".repeat(500).getBytes();
        show("deflate", () -> {
            Deflater deflater = new Deflater(9);
            deflater.setInput(data);
            deflater.finish();
            byte[] packed = new byte[data.length];
            int size = deflater.deflate(packed);
            Inflater inflater = new Inflater();
            inflater.setInput(packed, 0, size);
            byte[] unpacked = new byte[data.length];
            inflater.inflate(unpacked);
            return size < 200 && Arrays.equals(data, unpacked) && inflater.finished();
        });
        show("gzip", () -> {
            ByteArrayOutputStream out = new ByteArrayOutputStream();
            try (var gzip = new GZIPOutputStream(out)) {
                gzip.write(data);
            }
            return new GZIPInputStream(new ByteArrayInputStream(out.toByteArray())).readAllBytes().length;
        });
        show("zip", () -> {
            Path zip = folder.resolve("a.zip");
            try (var out = new ZipOutputStream(Files.newOutputStream(zip))) {
                out.putNextEntry(new ZipEntry("dir/entry"));
                out.write(data);
            }
            try (ZipFile in = new ZipFile(zip.toFile())) {
                return in.size() + " " + in.getEntry("dir/entry").getSize() + " " + Long.toHexString(in.getEntry("dir/entry").getCrc());
            }
        });
        show("crc", () -> {
            CRC32 crc = new CRC32();
            crc.update(data);
            return Long.toHexString(crc.getValue());
        });
    }

    // ---- cryptography

    private static void cryptography() {
        byte[] data = "message".getBytes();
        for (String algorithm : List.of("MD5", "SHA-1", "SHA-256", "SHA-512", "SHA3-256")) {
            show(algorithm, () -> HexFormat.of().formatHex(MessageDigest.getInstance(algorithm).digest(data)));
        }
        show("hmac", () -> {
            Mac mac = Mac.getInstance("HmacSHA256");
            mac.init(new SecretKeySpec(data, "HmacSHA256"));
            return HexFormat.of().formatHex(mac.doFinal(data));
        });
        show("aes gcm", () -> {
            SecretKeySpec key = new SecretKeySpec(new byte[32], "AES");
            Cipher cipher = Cipher.getInstance("AES/GCM/NoPadding");
            cipher.init(Cipher.ENCRYPT_MODE, key, new GCMParameterSpec(128, new byte[12]));
            byte[] secret = cipher.doFinal(data);
            cipher.init(Cipher.DECRYPT_MODE, key, new GCMParameterSpec(128, new byte[12]));
            return HexFormat.of().formatHex(secret) + " " + new String(cipher.doFinal(secret));
        });
        show("pbkdf2", () -> HexFormat.of().formatHex(SecretKeyFactory.getInstance("PBKDF2WithHmacSHA256")
                .generateSecret(new PBEKeySpec("password".toCharArray(), data, 1000, 128)).getEncoded()));
        for (String[] kind : new String[][] {{"RSA", "SHA256withRSA"}, {"EC", "SHA256withECDSA"}, {"Ed25519", "Ed25519"}}) {
            show(kind[1], () -> {
                KeyPairGenerator generator = KeyPairGenerator.getInstance(kind[0]);
                if (kind[0].equals("RSA")) {
                    generator.initialize(2048);
                }
                KeyPair pair = generator.generateKeyPair();
                Signature signature = Signature.getInstance(kind[1]);
                signature.initSign(pair.getPrivate());
                signature.update(data);
                byte[] signed = signature.sign();
                signature.initVerify(pair.getPublic());
                signature.update(data);
                return signature.verify(signed);
            });
        }
        show("x25519", () -> {
            KeyPairGenerator generator = KeyPairGenerator.getInstance("X25519");
            KeyPair a = generator.generateKeyPair();
            KeyPair b = generator.generateKeyPair();
            KeyAgreement one = KeyAgreement.getInstance("X25519");
            one.init(a.getPrivate());
            one.doPhase(b.getPublic(), true);
            KeyAgreement other = KeyAgreement.getInstance("X25519");
            other.init(b.getPrivate());
            other.doPhase(a.getPublic(), true);
            return Arrays.equals(one.generateSecret(), other.generateSecret());
        });
        show("secure random", () -> new SecureRandom().generateSeed(16).length + " " + SecureRandom.getInstanceStrong().nextInt(1, 2));
    }

    private static Object tls(Path keys) throws Exception {
        char[] password = "changeit".toCharArray();
        KeyStore store = KeyStore.getInstance(keys.toFile(), password);
        KeyManagerFactory own = KeyManagerFactory.getInstance(KeyManagerFactory.getDefaultAlgorithm());
        own.init(store, password);
        TrustManagerFactory trust = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
        trust.init(store);
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(own.getKeyManagers(), trust.getTrustManagers(), null);
        try (SSLServerSocket server = (SSLServerSocket) context.getServerSocketFactory().createServerSocket(0, 1,
                InetAddress.getLoopbackAddress())) {
            Thread echo = Thread.ofPlatform().start(() -> {
                try (Socket s = server.accept()) {
                    s.getOutputStream().write(s.getInputStream().readNBytes(6));
                } catch (IOException e) {
                    e.printStackTrace();
                }
            });
            try (SSLSocket client = (SSLSocket) context.getSocketFactory().createSocket(server.getInetAddress(), server.getLocalPort())) {
                client.startHandshake();
                client.getOutputStream().write("secret".getBytes());
                String answer = new String(client.getInputStream().readNBytes(6));
                echo.join();
                return answer + " " + client.getSession().getProtocol() + " " + client.getSession().getCipherSuite() + " "
                        + client.getSession().getPeerPrincipal();
            }
        }
    }

    // ---- text

    private static void text() {
        String all = "Grüße, 世界, Ω, €";
        for (String name : List.of("UTF-8", "UTF-16", "ISO-8859-1", "windows-1252", "Shift_JIS", "GB18030", "IBM1047")) {
            show("charset " + name, () -> HexFormat.of().formatHex(all.getBytes(Charset.forName(name))));
        }
        show("default charset", () -> Charset.defaultCharset() + " " + System.getProperty("native.encoding") + " "
                + System.getProperty("sun.jnu.encoding") + " " + System.out.charset());
        show("default locale", () -> Locale.getDefault() + " " + Locale.getDefault(Locale.Category.FORMAT) + " "
                + Locale.getDefault(Locale.Category.DISPLAY) + " " + System.getProperty("user.language"));
        for (Locale locale : List.of(Locale.ROOT, Locale.US, Locale.GERMANY, Locale.FRANCE, Locale.JAPAN)) {
            show("formats " + locale, () -> NumberFormat.getInstance(locale).format(1234567.891) + " "
                    + NumberFormat.getCurrencyInstance(locale).format(9.5) + " " + String.format(locale, "%,.2f %tB", 12345.678, LocalDate.of(2024, 3, 1))
                    + " " + DateTimeFormatter.ofLocalizedDate(FormatStyle.FULL).localizedBy(locale).format(LocalDate.of(2024, 3, 1)) + " "
                    + locale.getDisplayCountry(locale));
        }
        show("collation", () -> {
            List<String> words = new ArrayList<>(List.of("zebra", "äpfel", "apfel", "Öl", "ol"));
            words.sort(Collator.getInstance(Locale.GERMANY));
            return words;
        });
        show("normalization", () -> Normalizer.normalize("é", Normalizer.Form.NFD).length());
        show("case", () -> "straße".toUpperCase(Locale.ROOT) + " " + "TITLE".toLowerCase(Locale.of("tr")));
        show("regular expression", () -> Pattern.compile("(?<year>\\d{4})-\\p{L}+").matcher("in 2024-März").replaceAll("${year}"));
        show("zone", () -> ZoneId.systemDefault() + " " + Instant.ofEpochSecond(1_700_000_000).atZone(ZoneId.of("America/New_York"))
                + " " + Instant.ofEpochSecond(1_700_000_000).atZone(ZoneId.systemDefault()));
        show("standard input", () -> new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8)).readLine());
    }

    // ---- processes and signals

    private static void processes() {
        show("process", () -> {
            ProcessBuilder builder = new ProcessBuilder("sh", "-c", "read line; echo \"$line $VARIABLE\"; pwd; exit 7").directory(folder.toFile());
            builder.environment().put("VARIABLE", "from the environment");
            Process process = builder.start();
            try (var in = process.outputWriter()) {
                in.write("given\n");
            }
            String out = new String(process.getInputStream().readAllBytes()).replace(folder.toString(), "FOLDER");
            return process.waitFor() + " " + out.replace('\n', '|');
        });
        show("redirected process", () -> {
            Path out = folder.resolve("out");
            int status = new ProcessBuilder("sh", "-c", "echo out; echo err >&2").redirectErrorStream(true).redirectOutput(out.toFile()).start().waitFor();
            return status + " " + Files.readAllLines(out);
        });
        show("killed process", () -> {
            Process process = new ProcessBuilder("sleep", "60").start();
            boolean alive = process.isAlive();
            process.destroyForcibly();
            return alive + " " + process.waitFor() + " " + process.toHandle().isAlive();
        });
        show("missing program", () -> {
            try {
                return new ProcessBuilder("/no/such/program").start();
            } catch (IOException e) {
                return e.getMessage();
            }
        });
        show("own process", () -> ProcessHandle.current().pid() > 0 && ProcessHandle.current().info().startInstant().isPresent());
        show("signal", () -> {
            CountDownLatch arrived = new CountDownLatch(1);
            sun.misc.Signal signal = new sun.misc.Signal("USR2");
            sun.misc.Signal.handle(signal, s -> arrived.countDown());
            sun.misc.Signal.raise(signal);
            return arrived.await(10, TimeUnit.SECONDS) + " " + signal.getNumber();
        });
        show("user", () -> new com.sun.security.auth.module.UnixSystem().getUid() >= 0 && !System.getProperty("user.name").isEmpty());
    }

    private static void awaitTermination() throws InterruptedException {
        Runtime.getRuntime().addShutdownHook(new Thread(() -> System.out.println("hook ran")));
        System.out.println("ready");
        Thread.sleep(60_000);
    }

    // ---- threads

    private static void threads() {
        show("virtual threads", () -> {
            AtomicInteger sum = new AtomicInteger();
            try (var executor = Executors.newVirtualThreadPerTaskExecutor()) {
                for (int i = 0; i < 10_000; i++) {
                    int n = i;
                    executor.submit(() -> {
                        Thread.sleep(n % 3);
                        return sum.addAndGet(n);
                    });
                }
            }
            return sum.get();
        });
        show("pinned and contended", () -> {
            Object monitor = new Object();
            counter = 0;
            List<Thread> all = new ArrayList<>();
            for (int i = 0; i < 50; i++) {
                Runnable work = () -> {
                    for (int j = 0; j < 100; j++) {
                        synchronized (monitor) {
                            counter++;
                        }
                        Thread.yield();
                    }
                };
                all.add(i % 2 == 0 ? Thread.startVirtualThread(work) : Thread.ofPlatform().start(work));
            }
            for (Thread t : all) {
                t.join();
            }
            return counter;
        });
        show("fork and join", () -> ForkJoinPool.commonPool().submit(() -> IntStream.range(0, 1_000_000).parallel().sum()).get());
        show("futures", () -> CompletableFuture.supplyAsync(() -> 20).thenCombine(CompletableFuture.supplyAsync(() -> 22), Integer::sum)
                .orTimeout(10, TimeUnit.SECONDS).get());
        show("scheduled", () -> {
            try (var executor = Executors.newScheduledThreadPool(1)) {
                return executor.schedule(() -> "later", 5, TimeUnit.MILLISECONDS).get();
            }
        });
        show("interrupted", () -> {
            AtomicInteger seen = new AtomicInteger();
            Thread t = Thread.ofPlatform().start(() -> {
                try {
                    Thread.sleep(60_000);
                } catch (InterruptedException e) {
                    seen.set(1);
                }
            });
            t.interrupt();
            t.join();
            return seen.get();
        });
        show("clock", () -> {
            long start = System.nanoTime();
            Thread.sleep(20);
            long passed = System.nanoTime() - start;
            return passed >= 20_000_000 && System.currentTimeMillis() > 1_700_000_000_000L && Instant.now().getNano() >= 0;
        });
    }

    // ---- memory

    private static void memory() {
        show("gc under pressure", () -> {
            Random random = new Random(42);
            byte[][] live = new byte[64][];
            long sum = 0;
            for (int i = 0; i < 20_000; i++) { // 640 MB in all, 2 MB alive
                byte[] block = new byte[32 << 10];
                block[random.nextInt(block.length)] = (byte) i;
                live[random.nextInt(live.length)] = block;
                sum += block.length;
            }
            return sum;
        });
        show("out of memory", () -> {
            List<long[]> hog = new ArrayList<>();
            try {
                while (true) {
                    hog.add(new long[4 << 20]);
                }
            } catch (OutOfMemoryError e) {
                hog.clear();
                return "caught";
            }
        });
        show("stack overflow", () -> {
            try {
                return deep(0);
            } catch (StackOverflowError e) {
                return "caught";
            }
        });
        show("references", () -> {
            CountDownLatch cleaned = new CountDownLatch(1);
            Cleaner.create().register(new Object(), cleaned::countDown);
            WeakReference<Object> weak = new WeakReference<>(new Object());
            for (int i = 0; i < 100 && cleaned.getCount() > 0; i++) {
                System.gc();
                cleaned.await(50, TimeUnit.MILLISECONDS);
            }
            return cleaned.getCount() + " " + weak.get();
        });
        show("direct memory", () -> ByteBuffer.allocateDirect(1 << 20).putInt(100, 7).getInt(100));
        show("maximum heap", () -> Runtime.getRuntime().maxMemory() <= 128L << 20 && Runtime.getRuntime().totalMemory() > 0);
    }

    private static int deep(int n) {
        return deep(n + 1) + 1;
    }

    // ---- management

    private static void management() {
        show("runtime bean", () -> ManagementFactory.getRuntimeMXBean().getUptime() >= 0 && ManagementFactory.getRuntimeMXBean().getPid() > 0);
        show("memory bean", () -> ManagementFactory.getMemoryMXBean().getHeapMemoryUsage().getUsed() > 0);
        show("collectors", () -> !ManagementFactory.getGarbageCollectorMXBeans().isEmpty());
        show("thread bean", () -> ManagementFactory.getThreadMXBean().getThreadCount() > 0
                && ManagementFactory.getThreadMXBean().getCurrentThreadCpuTime() > 0);
        show("system bean", () -> {
            var bean = (com.sun.management.OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean();
            return bean.getName() + " " + bean.getArch() + " " + (bean.getTotalMemorySize() > 0) + " " + (bean.getProcessCpuTime() > 0) + " "
                    + (bean.getAvailableProcessors() == Runtime.getRuntime().availableProcessors());
        });
    }

    private static void limits() {
        System.out.println("processors " + Runtime.getRuntime().availableProcessors());
        var bean = (com.sun.management.OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean();
        System.out.println("memory " + (bean.getTotalMemorySize() >> 20) + " MiB");
        System.out.println("heap is below memory: " + (Runtime.getRuntime().maxMemory() <= bean.getTotalMemorySize()));
    }

    // ---- language

    private static void language() {
        show("records", () -> new Point(1, 2) + " " + new Point(1, 2).equals(new Point(1, 2)) + " " + new Point(3, 4).hashCode());
        show("records are compiled", () -> {
            Point a = new Point(1, 2);
            Point b = new Point(1, 2);
            long best = Long.MAX_VALUE;
            for (int round = 0; round < 50; round++) {
                long begin = System.nanoTime();
                for (int i = 0; i < 1000; i++) {
                    counter += a.equals(b) ? 0 : 1;
                }
                best = Math.min(best, System.nanoTime() - begin);
            }
            return best / 1000 < 2000; // interpreted as a method handle, it takes some 9,000 ns
        });
        show("big integer", () -> BigInteger.TWO.pow(521).subtract(BigInteger.ONE).isProbablePrime(10));
        show("random", () -> new Random(7).nextLong() + " " + new Random(7).nextGaussian());
        show("mathematics", () -> Math.sin(1e10) + " " + StrictMath.pow(2.5, 3.5) + " " + Math.fma(2.0, 3.0, 4.0));
        show("var handle", () -> {
            VarHandle handle = MethodHandles.arrayElementVarHandle(int[].class);
            int[] array = {1, 2, 3};
            return handle.compareAndSet(array, 1, 2, 20) + " " + array[1];
        });
        show("stack walker", () -> StackWalker.getInstance().walk(s -> s.map(StackWalker.StackFrame::getMethodName).filter("language"::equals).findFirst()));
        show("exception", () -> {
            try {
                return Integer.parseInt("x");
            } catch (NumberFormatException e) {
                return e.getMessage() + " " + Arrays.stream(e.getStackTrace()).anyMatch(f -> f.getMethodName().equals("language"));
            }
        });
        show("null pointer", () -> {
            String nothing = counter > -1 ? null : "";
            try {
                return nothing.length();
            } catch (NullPointerException e) {
                return "caught";
            }
        });
        show("division", () -> {
            try {
                return 1 / (counter - counter);
            } catch (ArithmeticException e) {
                return e.getMessage();
            }
        });
        show("version", () -> Runtime.version().feature() + " " + System.getProperty("os.name") + " " + System.getProperty("os.arch") + " "
                + System.getProperty("java.specification.version") + " " + System.lineSeparator().length());
        show("logging", () -> {
            var logger = java.util.logging.Logger.getLogger("probe");
            StringBuilder lines = new StringBuilder();
            logger.setUseParentHandlers(false);
            logger.addHandler(new java.util.logging.Handler() {
                @Override
                public void publish(java.util.logging.LogRecord line) {
                    lines.append(line.getLevel()).append(' ').append(line.getMessage());
                }

                @Override
                public void flush() {
                }

                @Override
                public void close() {
                }
            });
            logger.warning("careful");
            logger.fine("not seen");
            return lines;
        });
        show("properties", () -> {
            var p = new java.util.Properties();
            p.load(new StringReader("a=1\nb: \\u00fc"));
            return p.getProperty("a") + p.getProperty("b");
        });
    }
}
