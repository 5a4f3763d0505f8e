package features;

import java.io.BufferedReader;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.File;
import java.io.FileInputStream;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.io.RandomAccessFile;
import java.io.StreamTokenizer;
import java.io.StringReader;
import java.net.CookieManager;
import java.net.HttpURLConnection;
import java.net.IDN;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.NetworkInterface;
import java.net.ServerSocket;
import java.net.Socket;
import java.net.URI;
import java.net.URL;
import java.net.URLConnection;
import java.net.URLDecoder;
import java.net.URLEncoder;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.channels.Pipe;
import java.nio.charset.StandardCharsets;
import java.nio.file.FileSystem;
import java.nio.file.FileSystems;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.nio.file.StandardWatchEventKinds;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.jar.JarFile;
import java.util.jar.JarOutputStream;
import java.util.jar.Manifest;
import java.util.stream.Stream;
import java.util.zip.CRC32;
import java.util.zip.Deflater;
import java.util.zip.GZIPInputStream;
import java.util.zip.GZIPOutputStream;
import java.util.zip.Inflater;
import java.util.zip.ZipEntry;
import java.util.zip.ZipFile;
import java.util.zip.ZipOutputStream;

/** Files, resources, archives, URLs, sockets. */
final class Files {
    private Files() {}

    private static Path temporary(String suffix) throws Exception {
        Path p = java.nio.file.Files.createTempFile("feature", suffix);
        p.toFile().deleteOnExit();
        return p;
    }

    private static Path archive() throws Exception {
        Path p = temporary(".zip");
        try (ZipOutputStream out = new ZipOutputStream(java.nio.file.Files.newOutputStream(p))) {
            out.putNextEntry(new ZipEntry("d/a.txt"));
            out.write("zipped".getBytes());
        }
        return p;
    }

    private static String protocol(String url) throws Exception {
        URL u = new URI(url).toURL();
        return u.getProtocol() + " " + u.getDefaultPort() + " " + u.openConnection().getClass().getName();
    }

    @SuppressWarnings("deprecation")
    private static String parsed(String url) throws Exception {
        URL u = new URL(url);
        return u.getProtocol() + "|" + u.getHost() + "|" + u.getPort() + "|" + u.getPath() + "|" + u.getQuery();
    }

    private static String text(InputStream in) throws Exception {
        if (in == null) {
            return "null";
        }
        try (in) {
            return new String(in.readAllBytes(), StandardCharsets.UTF_8).strip();
        }
    }

    static void addTo(Jdk.Adder to) {
        to.add("files/write-read", () -> {
            Path p = temporary(".txt");
            java.nio.file.Files.writeString(p, "one\ntwo\n");
            java.nio.file.Files.writeString(p, "three", StandardOpenOption.APPEND);
            return java.nio.file.Files.readAllLines(p) + " " + java.nio.file.Files.size(p) + java.nio.file.Files.probeContentType(p);
        });
        to.add("files/walk", () -> {
            Path d = java.nio.file.Files.createTempDirectory("features");
            java.nio.file.Files.createDirectories(d.resolve("a/b"));
            java.nio.file.Files.writeString(d.resolve("a/b/x.txt"), "x");
            try (Stream<Path> all = java.nio.file.Files.walk(d)) {
                return all.map(p -> d.relativize(p).toString()).sorted().toList() + " " + Arrays.toString(d.toFile().list());
            }
        });
        to.add("files/attributes", () -> {
            Path p = temporary(".x");
            java.nio.file.Files.setPosixFilePermissions(p, PosixFilePermissions.fromString("rw-r-----"));
            return PosixFilePermissions.toString(java.nio.file.Files.getPosixFilePermissions(p)) + java.nio.file.Files.readAttributes(p, "isRegularFile,size") + java.nio.file.Files.getAttribute(p, "unix:nlink");
        });
        to.add("files/not-found", () -> java.nio.file.Files.readString(Path.of("/tmp/no/such")));
        to.add("files/not-found-stream", () -> new FileInputStream("/tmp/no-such"));
        to.add("files/task-root", () -> new File("/var/task").isDirectory() + " " + new File(".").getCanonicalPath() + " " + java.nio.file.Files.isWritable(Path.of("/var/task")));
        to.add("files/channels-and-maps", () -> {
            Path p = temporary(".bin");
            try (FileChannel c = FileChannel.open(p, StandardOpenOption.READ, StandardOpenOption.WRITE)) {
                c.write(ByteBuffer.wrap("mapped".getBytes()));
                var map = c.map(FileChannel.MapMode.READ_WRITE, 0, 6);
                map.put(0, (byte) 'M');
                map.force();
                return StandardCharsets.UTF_8.decode(map) + String.valueOf(c.tryLock() != null);
            }
        });
        to.add("files/random-access", () -> {
            try (RandomAccessFile f = new RandomAccessFile(temporary(".r").toFile(), "rw")) {
                f.writeUTF("ä");
                f.seek(0);
                return f.readUTF() + f.length();
            }
        });
        to.add("files/watch", () -> {
            Path d = java.nio.file.Files.createTempDirectory("watched");
            try (var w = FileSystems.getDefault().newWatchService()) {
                d.register(w, StandardWatchEventKinds.ENTRY_CREATE);
                java.nio.file.Files.createFile(d.resolve("new"));
                var key = w.poll(10, TimeUnit.SECONDS);
                return key == null ? "nothing" : key.pollEvents().getFirst().context();
            }
        });
        to.add("files/links-and-globs", () -> {
            Path d = java.nio.file.Files.createTempDirectory("links");
            Path l = java.nio.file.Files.createSymbolicLink(d.resolve("l"), Path.of("target"));
            return java.nio.file.Files.readSymbolicLink(l) + " " + FileSystems.getDefault().getPathMatcher("glob:**/*.{txt,csv}").matches(Path.of("a/b.csv"));
        });
        to.add("files/providers", () -> java.nio.file.spi.FileSystemProvider.installedProviders().stream().map(p -> p.getScheme()).sorted().toList());
        to.add("files/runtime-image", () -> {
            try (Stream<Path> modules = java.nio.file.Files.list(Path.of(URI.create("jrt:/java.sql/java/sql")))) {
                return modules.count() > 20;
            }
        });
        to.add("files/print-stream", () -> {
            ByteArrayOutputStream b = new ByteArrayOutputStream();
            PrintStream before = System.out;
            System.setOut(new PrintStream(b, true, StandardCharsets.UTF_8));
            System.out.printf("%s-%d", "äö", 3);
            System.setOut(before);
            return b.toString(StandardCharsets.UTF_8);
        });
        to.add("files/tokenizer", () -> {
            StreamTokenizer t = new StreamTokenizer(new StringReader("x = 3.5 // c"));
            t.slashSlashComments(true);
            StringBuilder all = new StringBuilder();
            while (t.nextToken() != StreamTokenizer.TT_EOF) {
                all.append(t.ttype).append(' ');
            }
            return all;
        });
        to.add("files/console", () -> System.console() == null);

        to.add("resources/stream", () -> text(Files.class.getResourceAsStream("folder/one.txt")));
        to.add("resources/by-loader", () -> text(Files.class.getClassLoader().getResourceAsStream("features/folder/two.txt")));
        to.add("resources/computed-name", () -> text(Files.class.getResourceAsStream("/features/folder/" + String.join("", "th", "ree") + ".csv")));
        to.add("resources/missing", () -> Files.class.getResource("no.txt") + " " + Files.class.getResourceAsStream("folder/four.txt") + Files.class.getClassLoader().getResources("nope").hasMoreElements());
        to.add("resources/url-text", () -> String.valueOf(Files.class.getResource("folder/one.txt")).replaceAll("^.*/features", "features"));
        to.add("resources/url-open", () -> text(Files.class.getResource("folder/two.txt").openStream()));
        to.add("resources/url-connection", () -> {
            URLConnection c = Files.class.getResource("folder/one.txt").openConnection();
            return c.getContentLengthLong() + c.getContentType();
        });
        to.add("resources/as-path", () -> java.nio.file.Files.readString(Path.of(Files.class.getResource("folder/one.txt").toURI())).strip());
        to.add("resources/folder", () -> {
            URI uri = Files.class.getResource("folder").toURI();
            if (!uri.getScheme().equals("jar") && !uri.getScheme().equals("resource")) {
                try (Stream<Path> all = java.nio.file.Files.list(Path.of(uri))) {
                    return all.map(p -> p.getFileName().toString()).sorted().toList();
                }
            }
            try (FileSystem fs = FileSystems.newFileSystem(uri, Map.of()); Stream<Path> all = java.nio.file.Files.list(fs.getPath("/features/folder"))) {
                return all.map(p -> p.getFileName().toString()).sorted().toList();
            }
        });
        to.add("resources/all-manifests", () -> Files.class.getClassLoader().getResources("META-INF/MANIFEST.MF").hasMoreElements());
        to.add("resources/class-bytes", () -> Files.class.getResourceAsStream("/features/Files.class").readNBytes(4)[0]);
        to.add("resources/jdk", () -> Object.class.getResourceAsStream("Object.class") != null);
        to.add("resources/module", () -> text(Files.class.getModule().getResourceAsStream("features/folder/one.txt")));

        to.add("archives/zip", () -> {
            try (ZipFile z = new ZipFile(archive().toFile())) {
                return z.size() + text(z.getInputStream(z.getEntry("d/a.txt")));
            }
        });
        to.add("archives/zip-file-system", () -> {
            try (FileSystem fs = FileSystems.newFileSystem(archive(), Map.of("create", "true"))) {
                java.nio.file.Files.writeString(fs.getPath("/new.txt"), "n");
                return java.nio.file.Files.readString(fs.getPath("d/a.txt")) + fs.provider().getScheme();
            }
        });
        to.add("archives/zip-file-system-by-uri", () -> {
            try (FileSystem fs = FileSystems.newFileSystem(URI.create("jar:" + archive().toUri()), Map.of())) {
                return java.nio.file.Files.exists(fs.getPath("d/a.txt"));
            }
        });
        to.add("archives/jar", () -> {
            Path p = temporary(".jar");
            Manifest m = new Manifest(new ByteArrayInputStream("Manifest-Version: 1.0\nX-Y: z\n".getBytes()));
            new JarOutputStream(java.nio.file.Files.newOutputStream(p), m).close();
            try (JarFile jar = new JarFile(p.toFile())) {
                return jar.getManifest().getMainAttributes().getValue("X-Y");
            }
        });
        to.add("archives/gzip", () -> {
            ByteArrayOutputStream b = new ByteArrayOutputStream();
            try (GZIPOutputStream g = new GZIPOutputStream(b)) {
                g.write("gz".repeat(100).getBytes());
            }
            return b.size() + text(new GZIPInputStream(new ByteArrayInputStream(b.toByteArray()))).length();
        });
        to.add("archives/deflate", () -> {
            Deflater d = new Deflater(9, true);
            d.setInput(new byte[1000]);
            d.finish();
            byte[] b = new byte[100];
            int n = d.deflate(b);
            Inflater i = new Inflater(true);
            i.setInput(b, 0, n);
            CRC32 crc = new CRC32();
            crc.update(new byte[10]);
            return n + " " + i.inflate(new byte[2000]) + " " + crc.getValue();
        });

        for (String url : List.of("http://h/x", "https://h/x", "file:/tmp/x", "jar:file:/tmp/x.jar!/a", "ftp://h/x", "mailto:a@b.c", "jrt:/java.base/java/lang/Object.class")) {
            to.add("urls/connection-" + url.substring(0, url.indexOf(':')), () -> protocol(url));
        }
        to.add("urls/jmod", () -> parsed("jmod:/java.base"));
        to.add("urls/unknown", () -> parsed("gopher://h/x"));
        to.add("urls/parts", () -> parsed("https://u@h:8443/a/b?c=d#e"));
        to.add("urls/jar-content", () -> text(URI.create("jar:" + archive().toUri() + "!/d/a.txt").toURL().openStream()));
        to.add("urls/file-content", () -> {
            Path p = temporary(".txt");
            java.nio.file.Files.writeString(p, "by url");
            return text(p.toUri().toURL().openStream()) + p.toUri().toURL().openConnection().getContentType();
        });
        to.add("urls/own-handler", () -> URL.of(URI.create("mem:x"), new java.net.URLStreamHandler() {
            @Override
            protected URLConnection openConnection(URL u) {
                return new URLConnection(u) {
                    @Override
                    public void connect() {}

                    @Override
                    public InputStream getInputStream() {
                        return new ByteArrayInputStream("from memory".getBytes());
                    }
                };
            }
        }).openConnection().getInputStream().readAllBytes().length);
        to.add("urls/uri", () -> URI.create("http://a/b/c?d").resolve("../x") + " " + URI.create("a:b").isOpaque() + URLEncoder.encode("ä b&", StandardCharsets.UTF_8) + URLDecoder.decode("%C3%A4+b", StandardCharsets.UTF_8));
        to.add("urls/uri-wrong", () -> new URI("http://a b"));
        to.add("urls/content-type", () -> URLConnection.guessContentTypeFromName("x.png") + " " + URLConnection.guessContentTypeFromStream(new ByteArrayInputStream("<html>".getBytes())) + URLConnection.getFileNameMap().getContentTypeFor("a.pdf"));
        to.add("urls/idn", () -> IDN.toASCII("bücher.example") + IDN.toUnicode("xn--bcher-kva"));

        to.add("net/sockets", () -> {
            try (ServerSocket server = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
                Thread t = new Thread(() -> {
                    try (Socket s = server.accept()) {
                        s.getOutputStream().write("from the server\n".getBytes());
                    } catch (Exception e) {
                        throw new IllegalStateException(e);
                    }
                });
                t.start();
                try (Socket s = new Socket(InetAddress.getLoopbackAddress(), server.getLocalPort()); BufferedReader r = new BufferedReader(new InputStreamReader(s.getInputStream()))) {
                    return r.readLine();
                }
            }
        });
        to.add("net/refused", () -> new Socket(InetAddress.getLoopbackAddress(), 1));
        to.add("net/addresses", () -> InetAddress.getByName("127.0.0.1") + " " + InetAddress.getByName("::1").isLoopbackAddress() + InetAddress.ofLiteral("10.0.0.1") + new InetSocketAddress("127.0.0.1", 80));
        to.add("net/interfaces", () -> NetworkInterface.networkInterfaces().anyMatch(n -> n.getName().equals("lo")));
        to.add("net/pipe", () -> {
            Pipe p = Pipe.open();
            p.sink().write(ByteBuffer.wrap("p".getBytes()));
            ByteBuffer b = ByteBuffer.allocate(1);
            p.source().read(b);
            return (char) b.get(0);
        });
        to.add("net/unix-socket", () -> {
            Path p = Path.of("/tmp/feature-" + ProcessHandle.current().pid() + ".sock");
            java.nio.file.Files.deleteIfExists(p);
            try (var s = java.nio.channels.ServerSocketChannel.open(java.net.StandardProtocolFamily.UNIX)) {
                s.bind(java.net.UnixDomainSocketAddress.of(p));
                return s.getLocalAddress() != null;
            }
        });
        to.add("net/http-server-and-client", () -> {
            var server = com.sun.net.httpserver.HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
            server.createContext("/", x -> {
                byte[] b = (x.getRequestMethod() + x.getRequestHeaders().getFirst("X-A")).getBytes();
                x.sendResponseHeaders(201, b.length);
                x.getResponseBody().write(b);
                x.close();
            });
            server.start();
            try (HttpClient client = HttpClient.newHttpClient()) {
                URI uri = URI.create("http://127.0.0.1:" + server.getAddress().getPort() + "/p");
                HttpResponse<String> r = client.send(HttpRequest.newBuilder(uri).header("X-A", "b").POST(HttpRequest.BodyPublishers.ofString("x")).build(), HttpResponse.BodyHandlers.ofString());
                HttpURLConnection c = (HttpURLConnection) uri.toURL().openConnection();
                c.setRequestProperty("X-A", "old");
                return r.statusCode() + r.body() + r.version() + c.getResponseCode() + text(c.getInputStream());
            } finally {
                server.stop(0);
            }
        });
        to.add("net/http-refused", () -> HttpClient.newHttpClient().send(HttpRequest.newBuilder(URI.create("http://127.0.0.1:1/")).build(), HttpResponse.BodyHandlers.discarding()));
        to.add("net/cookies", () -> {
            CookieManager m = new CookieManager();
            m.put(URI.create("http://h/"), Map.of("Set-Cookie", List.of("a=b; Path=/")));
            return m.getCookieStore().getCookies();
        });
        to.add("net/proxies", () -> java.net.ProxySelector.getDefault().select(URI.create("http://h/")));
    }
}
