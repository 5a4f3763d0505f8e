package dev.cloudjit.runtime.json;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.lang.reflect.Type;
import java.math.BigDecimal;
import java.math.BigInteger;
import java.nio.charset.StandardCharsets;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.Date;
import java.util.EnumMap;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Random;
import java.util.Set;
import java.util.TreeMap;
import java.util.UUID;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;

/** Whatever the fast path writes without doubt, the published library writes alike, byte for byte. */
class WriteOracleTest {
    @Test
    void everyValue() {
        for (Object value : values()) {
            check(Object.class, value);
            if (value != null) {
                check(value.getClass(), value);
                if (value.getClass().getSuperclass() != null) {
                    check(value.getClass().getSuperclass(), value);
                }
            }
            check(Map.class, value instanceof Map ? value : Collections.singletonMap("k", value));
            check(List.class, Arrays.asList(value, value));
            Shapes.Plain holder = new Shapes.Plain();
            holder.setAnything(value);
            check(Shapes.Plain.class, holder);
        }
    }

    @Test
    void everyCharacter() {
        for (int c = 0; c <= 0xFFFF; c++) {
            check(String.class, "a" + (char) c + "b");
        }
        check(String.class, "\uD83D\uDE00");
        check(String.class, "\uDE00\uD83D");
    }

    @Test
    void randomNumbers() {
        Random random = new Random(7);
        for (int i = 0; i < 20_000; i++) {
            check(Object.class, Double.longBitsToDouble(random.nextLong()));
            check(Object.class, Float.intBitsToFloat(random.nextInt()));
            check(Object.class, random.nextLong() >> random.nextInt(64));
        }
    }

    @Test
    void ordinaryAnswersNeedNoLibrary() {
        Shapes.Plain bean = bean();
        for (Object value : new Object[] {bean, List.of(bean), Map.of("a", bean), "text", 1, 2.5, true, Shapes.Color.RED}) {
            Values.write(new JsonWriter(), value, 0);
        }
    }

    private static Shapes.Plain bean() {
        Shapes.Plain bean = new Shapes.Plain();
        bean.setName("né\"x");
        bean.setCount(3);
        bean.setBoxed(4);
        bean.setMaybe(true);
        bean.setColor(Shapes.Color.GREEN);
        bean.setTags(List.of("a", "b"));
        bean.setBytes("hello".getBytes(StandardCharsets.UTF_8));
        bean.setNext(new Shapes.Plain());
        bean.setNumbers(Set.of(9));
        bean.setHuge(BigInteger.TEN.pow(30));
        bean.setArray(new Shapes.Plain[] {null, new Shapes.Plain()});
        bean.setChildren(Map.of("one", new Shapes.Derived()));
        return bean;
    }

    private static List<Object> values() {
        Shapes.Derived derived = new Shapes.Derived();
        derived.setURL("u");
        derived.setExtra("e");
        derived.setWriteOnly("never");
        Shapes.Fields fields = new Shapes.Fields();
        fields.name = "f";
        fields.more = List.of(new Shapes.Fields());
        Map<String, Object> withNulls = new LinkedHashMap<>();
        withNulls.put("a", null);
        withNulls.put("b", 1);
        withNulls.put("c", null);
        Map<Object, Object> byNumber = new HashMap<>(Map.of(1, "x"));
        Map<Shapes.Color, String> byColor = new EnumMap<>(Map.of(Shapes.Color.RED, "x"));
        Shapes.Dated dated = new Shapes.Dated();
        dated.setDate(new Date(0));
        dated.setPrice(new BigDecimal("1.50"));
        List<Object> recursive = new ArrayList<>();
        recursive.add(recursive);
        Object[] values = {
            null, "", "text", 'c', 0, -1, Long.MIN_VALUE, (short) 3, (byte) 4, 1.0, 1e21, 1e-7, 0.1f, Double.NaN,
            Float.NEGATIVE_INFINITY, -0.0, true, Boolean.FALSE, BigInteger.ONE.shiftLeft(90), new BigDecimal("1E+3"),
            new BigDecimal("1.50"), new AtomicInteger(5), Shapes.Color.RED, Shapes.Color.GREEN,
            new byte[] {1, 2, 3}, new byte[0], new char[] {'a', '"'}, new int[] {1, 2}, new long[] {3}, new double[] {1.5, Double.NaN},
            new boolean[] {true}, new short[] {1}, new float[] {1f}, new String[] {"a", null}, new Object[] {1, "b", List.of()},
            new int[][] {{1}, {2}}, List.of(), List.of(1, "a", true), Arrays.asList(null, 1), Set.of("one"), Map.of(),
            Map.of("k", "v"), new TreeMap<>(Map.of("b", 2, "a", 1)), withNulls, Collections.unmodifiableMap(withNulls),
            byNumber, byColor, Map.of("nested", Map.of("list", List.of(Map.of("x", 1)))), bean(), derived, fields,
            new Shapes.NotPublic(), new Shapes.Overloaded(), new Shapes.Point(1, "p"), new Shapes.Point(1, null), dated,
            new Shapes.NoDefaultConstructor("n"), new Shapes.Throwing(), new Shapes.Empty(), Optional.of("x"),
            Optional.empty(), new Date(1), Instant.EPOCH, UUID.fromString("00000000-0000-0001-0000-000000000002"),
            new StringBuilder("sb"), String.class, recursive, new Object(), Map.entry("k", "v"), new Object() {
                public String getAnonymous() {
                    return "a";
                }
            },
        };
        return Arrays.asList(values);
    }

    private static void check(Type type, Object value) {
        String fast;
        try {
            JsonWriter out = new JsonWriter();
            if (value == null) {
                out.raw("null");
            } else {
                Codecs.of(type).write(out, value);
            }
            fast = new String(out.toBytes(), StandardCharsets.UTF_8);
        } catch (Doubt | BeanShape.BeanFailure e) {
            return;
        }
        String expected = new String(Oracle.write(type, value), StandardCharsets.UTF_8);
        if (value instanceof Shapes.NotPublic) {
            // Properties without a field have no order of their own.
            assertEquals(Oracle.tree(expected.getBytes(StandardCharsets.UTF_8)), Oracle.tree(fast.getBytes(StandardCharsets.UTF_8)));
        } else {
            assertEquals(expected, fast, type + " " + (value == null ? "" : value.getClass()));
        }
    }
}
