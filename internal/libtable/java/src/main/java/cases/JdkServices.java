package cases;

import java.net.IDN;
import java.net.InetAddress;
import java.net.MalformedURLException;
import java.net.URI;
import java.net.URLConnection;
import java.net.UnknownHostException;
import java.net.http.HttpClient;
import java.nio.charset.Charset;
import java.nio.file.FileSystems;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyPairGenerator;
import java.security.MessageDigest;
import java.text.BreakIterator;
import java.text.Collator;
import java.text.Normalizer;
import java.text.NumberFormat;
import java.time.LocalDate;
import java.time.ZoneId;
import java.time.chrono.Chronology;
import java.time.chrono.HijrahDate;
import java.time.chrono.JapaneseDate;
import java.time.format.DateTimeFormatter;
import java.time.format.FormatStyle;
import java.util.Currency;
import java.util.Locale;
import java.util.TimeZone;
import java.util.concurrent.Callable;
import java.util.random.RandomGenerator;
import java.util.spi.ToolProvider;
import javax.crypto.Cipher;
import javax.net.ssl.SSLContext;

/** What the JDK looks up by services for a program that does not know it: resolvers, charsets, calendars, providers. */
final class JdkServices implements Case {
    @Override
    public void run() {
        show("address", () -> InetAddress.getByName("localhost").isLoopbackAddress());
        show("unknown host", () -> InetAddress.getByName("no-such-host.invalid"));
        show("charset", () -> Charset.forName("IBM037").newEncoder().maxBytesPerChar());
        show("unknown charset", () -> Charset.forName("x-none"));
        show("protocol", () -> URI.create("none:x").toURL());
        show("file system", () -> FileSystems.newFileSystem(URI.create("none:///x"), java.util.Map.of()));
        show("logger", () -> System.getLogger("cases").isLoggable(System.Logger.Level.INFO));
        show("calendars", () -> Chronology.getAvailableChronologies().stream().map(Chronology::getId).sorted().toList());
        show("calendar", () -> Chronology.of("ThaiBuddhist").dateNow().isAfter(LocalDate.EPOCH));
        show("hijrah", () -> HijrahDate.from(LocalDate.of(2020, 1, 2)));
        show("japanese", () -> JapaneseDate.from(LocalDate.of(2020, 1, 2)));
        show("zone", () -> LocalDate.EPOCH.atStartOfDay(ZoneId.of("Asia/Tokyo")).toInstant());
        show("format", () -> LocalDate.EPOCH.format(DateTimeFormatter.ofLocalizedDate(FormatStyle.FULL).withLocale(Locale.US)));
        show("pattern", () -> DateTimeFormatter.ofPattern("GGGG yyyy EEEE").withLocale(Locale.US).format(LocalDate.EPOCH));
        show("number", () -> NumberFormat.getCurrencyInstance(Locale.US).format(1234.5));
        show("currency", () -> Currency.getInstance("JPY").getDefaultFractionDigits());
        show("host name", () -> IDN.toASCII("b\u00fccher.example"));
        show("normal form", () -> Normalizer.normalize("\u00e9", Normalizer.Form.NFD).length());
        show("order", () -> Collator.getInstance(Locale.GERMAN).compare("\u00e4", "b"));
        show("words", () -> BreakIterator.getWordInstance(Locale.US).preceding(3));
        show("time zone", () -> TimeZone.getTimeZone("Europe/Berlin").getDisplayName(Locale.US));
        show("content type", () -> URLConnection.guessContentTypeFromName("x.png"));
        show("content type of a file", () -> Files.probeContentType(Path.of("x.html")));
        show("random", () -> RandomGenerator.of("L64X128MixRandom").getClass().getSimpleName());
        show("random, default", () -> RandomGenerator.getDefault().getClass().getSimpleName());
        show("tool", () -> ToolProvider.findFirst("none").isPresent());
        show("digest", () -> MessageDigest.getInstance("SHA3-256").digest(new byte[1]).length);
        show("unknown digest", () -> MessageDigest.getInstance("none"));
        show("random", () -> java.security.SecureRandom.getInstance("SHA1PRNG").generateSeed(4).length);
        show("cipher", () -> Cipher.getInstance("AES/GCM/NoPadding").getBlockSize());
        show("keys", () -> KeyPairGenerator.getInstance("Ed25519").generateKeyPair().getPublic().getAlgorithm());
        show("tls", () -> SSLContext.getDefault().getProtocol());
        show("http client", () -> HttpClient.newHttpClient().version());
    }

    private static void show(String name, Callable<?> what) {
        String answer;
        try {
            answer = String.valueOf(what.call());
        } catch (UnknownHostException | MalformedURLException e) {
            answer = e.getClass().getName(); // the text is the system's, or native-image's advice
        } catch (Exception e) {
            answer = e.toString();
        }
        System.out.println(name + ": " + answer);
    }
}
