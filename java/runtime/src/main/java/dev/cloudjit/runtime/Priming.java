package dev.cloudjit.runtime;

import com.amazonaws.services.lambda.runtime.LambdaRuntimeInternal;
import dev.cloudjit.runtime.api.Body;
import dev.cloudjit.runtime.json.EventCodec;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.net.URI;
import java.net.URLEncoder;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.time.Duration;
import java.time.Instant;
import java.time.LocalDate;
import java.time.ZoneOffset;
import java.time.format.DateTimeFormatter;
import java.util.Arrays;
import java.util.Base64;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.TreeMap;
import java.util.UUID;
import java.util.concurrent.ConcurrentHashMap;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;

/**
 * Does once, before the process is saved, what many functions do in their first invocation, so that each copy has the
 * classes for it: the first SHA-256 of a process takes 10 ms, the second 10 µs.
 *
 * <p>Only what leaves no trace that a function could see: nothing here makes random numbers, starts threads, opens
 * connections, or reads a property that a function may set later (the time zone, trust stores, loggers, the common pool).
 */
final class Priming implements Runnable {
    /** What is made, so that nobody can leave it out. */
    private static volatile Object made;

    /** How many steps could not be taken. */
    int failed;

    @Override
    public void run() {
        List<Step> steps = Arrays.asList(Priming::exchange, Priming::text, Priming::collections, Priming::times, Priming::digests, Priming::failure);
        for (Step step : steps) {
            try {
                made = step.run();
            } catch (Throwable t) {
                failed++;
                // A provider of the function's, or a JDK without the module: it is as slow as it was.
            }
        }
        made = null;
    }

    private interface Step {
        Object run() throws Exception;
    }

    /** What the runtime client itself does for an event. */
    private static Object exchange() throws Exception {
        EventCodec codec = new EventCodec(Map.class);
        byte[] event = "{\"a\":[1,-2.5e3,9007199254740993,true,null],\"b\":{\"c\":\"\\u00e4\\n\"},\"d\":1.5}".getBytes(StandardCharsets.UTF_8);
        Body body = new Body();
        codec.write(codec.read(event, event.length), body);
        Class.forName("dev.cloudjit.runtime.InvocationContext");
        return LambdaRuntimeInternal.getUseLog4jAppender();
    }

    private static Object text() {
        String s = String.format(Locale.ROOT, "%s %d %.2f %05d %x", "a", 1, 1.5, 42, 255);
        s = s + s.length() + 'c' + 1L + true;
        s = Pattern.compile("(\\w+)[- ]*(?<n>\\d+)", Pattern.CASE_INSENSITIVE).matcher(s).replaceAll("$1");
        s = String.join(",", s.split(" ")).toUpperCase(Locale.ROOT).replace("A", "b").strip();
        s = Base64.getEncoder().encodeToString(s.getBytes(StandardCharsets.UTF_8));
        s = URLEncoder.encode(new String(Base64.getDecoder().decode(s), StandardCharsets.ISO_8859_1), StandardCharsets.UTF_8);
        URI uri = URI.create("https://example.com:8443/a/b?c=" + s);
        return uri.getHost(); // and no BigDecimal, which makes the common pool
    }

    private static Object collections() {
        Map<String, Integer> counts = new ConcurrentHashMap<>(Map.of("a", 1));
        counts.merge("a", 1, Integer::sum);
        counts.computeIfAbsent("b", String::length);
        Map<Integer, List<String>> groups = IntStream.range(0, 20).boxed()
                .filter(n -> n % 3 != 0).sorted().map(String::valueOf)
                .collect(Collectors.groupingBy(String::length, TreeMap::new, Collectors.toList()));
        String keys = counts.entrySet().stream().map(e -> e.getKey() + "=" + e.getValue()).distinct().limit(3).collect(Collectors.joining(", "));
        return List.of(groups, keys, new HashMap<>(counts), List.of(3, 1, 2).stream().mapToInt(Integer::intValue).sum());
    }

    private static Object times() {
        Instant now = Instant.now();
        String s = now + DateTimeFormatter.ISO_OFFSET_DATE_TIME.format(now.atOffset(ZoneOffset.UTC));
        return Duration.between(Instant.parse("2026-01-02T03:04:05Z"), now) + LocalDate.parse("2026-01-02").plusDays(1).toString() + s;
    }

    private static Object digests() throws Exception {
        byte[] hash = MessageDigest.getInstance("SHA-256").digest(new byte[1]);
        Mac mac = Mac.getInstance("HmacSHA256");
        mac.init(new SecretKeySpec(hash, "HmacSHA256"));
        return List.of(mac.doFinal(hash), UUID.nameUUIDFromBytes(hash).toString());
    }

    private static Object failure() {
        StringWriter text = new StringWriter();
        new IllegalStateException("a", new RuntimeException("b")).printStackTrace(new PrintWriter(text));
        return text.toString();
    }
}
