package dev.cloudjit.runtime.json;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assertions.fail;

import java.lang.reflect.Field;
import java.lang.reflect.Type;
import java.math.BigInteger;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import org.junit.jupiter.api.Test;

/** Whatever the fast path accepts or refuses without doubt, the published library accepts or refuses alike. */
class ReadOracleTest {
    List<String> listOfStrings;
    List<Shapes.Plain> listOfBeans;
    List<List<Integer>> nested;
    Map<String, Integer> mapOfNumbers;
    Map<String, Shapes.Plain> mapOfBeans;
    Map<String, List<Map<String, Object>>> deep;
    Map<Integer, String> mapByNumber;
    Set<String> set;
    Collection<Boolean> booleans;
    @SuppressWarnings("rawtypes")
    Map raw;
    HashMap<String, Object> hash;
    ArrayList<Double> doubles;

    private static final Type[] CLASSES = {
        Object.class, String.class, int.class, Integer.class, Long.class, long.class, Double.class, float.class,
        Short.class, byte.class, Boolean.class, boolean.class, BigInteger.class, byte[].class, String[].class,
        Shapes.Color.class, Shapes.Plain.class, Shapes.Derived.class, Shapes.Fields.class, Shapes.NotPublic.class,
        Shapes.Overloaded.class, Shapes.Point.class, Shapes.Dated.class, Shapes.NoDefaultConstructor.class,
        Shapes.Throwing.class, Shapes.Empty.class, Shapes.Plain[].class, Map.class, List.class
    };

    private static final String MUTATIONS = "{}[]\",:'\\ 0159.eE-+ntfa\u0001\u007f";

    private static final String[] DOCUMENTS = {
        "null", "true", "false", "0", "1", "-1", "-0", "127", "128", "-129", "32768", "2147483647", "2147483648",
        "-2147483648", "-2147483649", "9223372036854775807", "9223372036854775808", "-9223372036854775808",
        "123456789012345678901234567890", "1.0", "1.5", "-2.5e3", "1e400", "1E-7", "0.1", "3.4028236e39", "1e2",
        "\"\"", "\"a\"", "\"1\"", "\"1.5\"", "\"true\"", "\"RED\"", "\"GREEN\"", "\"green!\"", "\"aGk=\"", "\"aGk\"",
        "\"a\\n\\t\\\"\\\\\\/\\u00e9\\ud83d\\ude00\\q\"", "'single'", "\"é€😀\"", "\"\u0001\"", "{}", "[]", "[1]",
        "[\"a\"]", "[1,2,3]", "[[1],[2]]", "[null]", "[true,false]", "[{}]", "[\"a\",null]", "[1,\"a\",{\"b\":[]}]",
        "{\"a\":1}", "{\"a\":null}", "{\"a\":{\"b\":{\"c\":[1,2.5,\"x\",null,true]}}}", "{a:1,b_2:2}", "{'a':'b'}",
        "{\"a\":1,\"a\":2}", "{\"1\":\"x\"}",
        "{\"name\":\"x\",\"count\":1,\"boxed\":2,\"big\":3,\"ratio\":4,\"small\":0.5,\"active\":true,\"maybe\":false}",
        "{\"name\":null,\"count\":null,\"boxed\":null,\"big\":null,\"ratio\":null,\"active\":null,\"color\":null}",
        "{\"color\":\"RED\",\"tags\":[\"a\",\"b\"],\"children\":{\"k\":{\"name\":\"kid\"}},\"anything\":[1,{\"z\":2}]}",
        "{\"bytes\":\"aGVsbG8=\",\"next\":{\"next\":{\"name\":\"deep\"}},\"numbers\":[3,1,2],\"huge\":99999999999999999999}",
        "{\"array\":[{\"name\":\"1\"},null],\"extra\":\"e\",\"readOnly\":\"r\",\"writeOnly\":\"w\",\"URL\":\"u\",\"url\":\"v\"}",
        "{\"name\":5,\"count\":\"7\",\"active\":\"true\"}", "{\"count\":1.9}", "{\"name\":true}", "{\"unknown\":{\"a\":[1]}}",
        "{\"more\":[{\"name\":\"m\"}],\"hidden\":\"x\",\"shared\":\"y\",\"count\":3}", "{\"tags\":\"single\"}",
        "{\"tags\":{}}", "{\"children\":[]}", "{\"name\":{}}", "{\"name\":[]}", "{\"name\":[\"x\"]}", "{\"color\":\"BLUE\"}",
        "{\"color\":0}", "{\"value\":\"v\"}", "{\"value\":4}", "{\"x\":1,\"label\":\"l\"}", "{\"date\":0,\"price\":1.50}",
        "{\"date\":\"2020-01-02T03:04:05Z\",\"maybe\":\"yes\"}", "{\"Name\":\"case\"}", "{\"getName\":1}", "{\"kind\":\"k\"}",
        "", " ", "{", "}", "[", "]", "[1,]", "[,1]", "{\"a\"}", "{\"a\":}", "{\"a\":1,}", "{,}", "\"open", "tru", "truex", "nul",
        "01", "-", "1.", ".5", "+1", "NaN", "Infinity", "-Infinity", "1e", "1e+", "0x1", "1 2", "1,2", "{} {}", "[] x", "//c\n1",
        "\"a\" trailing", "1x", "true false", "  {\"a\" : [ 1 , 2 ] }  ", "\"\\u12\"", "\"\\ud83d\"", "undefined",
        "{\"a\":1 \"b\":2}", "[1 2]", "{1:2}", "{\"a\":'b'}", "\t\n\r 1 \n", "\uFEFF{}", "\"line\nbreak\""
    };

    @Test
    void everyDocumentInEveryType() {
        for (Type type : types()) {
            for (String document : DOCUMENTS) {
                check(type, document.getBytes(StandardCharsets.UTF_8));
            }
            check(type, new byte[] {'"', (byte) 0xc3, '"'});
            check(type, "{\"a\":1}".getBytes(StandardCharsets.UTF_16));
            check(type, "{\"a\":1}".getBytes(StandardCharsets.UTF_16LE));
        }
    }

    @Test
    void mutatedDocuments() {
        long seed = 20260504;
        Random random = new Random(seed);
        List<Type> types = types();
        for (int i = 0; i < 30_000; i++) {
            StringBuilder document = new StringBuilder(DOCUMENTS[random.nextInt(DOCUMENTS.length)]);
            for (int changes = random.nextInt(3); changes >= 0 && document.length() > 0; changes--) {
                int at = random.nextInt(document.length());
                switch (random.nextInt(3)) {
                    case 0:
                        document.deleteCharAt(at);
                        break;
                    case 1:
                        document.insert(at, MUTATIONS.charAt(random.nextInt(MUTATIONS.length())));
                        break;
                    default:
                        String other = DOCUMENTS[random.nextInt(DOCUMENTS.length)];
                        document.insert(at, other);
                }
            }
            check(types.get(random.nextInt(types.size())), document.toString().getBytes(StandardCharsets.UTF_8));
        }
    }

    @Test
    void depthIsLimitedAlike() {
        check(Object.class, ("[".repeat(1000) + "]".repeat(1000)).getBytes(StandardCharsets.UTF_8));
        check(Object.class, ("[".repeat(1001) + "]".repeat(1001)).getBytes(StandardCharsets.UTF_8));
        check(Map.class, "{\"a\":".repeat(100_000).getBytes(StandardCharsets.UTF_8));
    }

    @Test
    void ordinaryEventsNeedNoLibrary() {
        String[] certain = {
            "{\"name\":\"x\",\"count\":1,\"tags\":[\"a\"],\"color\":\"RED\",\"next\":{\"bytes\":\"aGk=\"},\"unknown\":[{}]}"
        };
        for (Type type : new Type[] {Object.class, Map.class, Shapes.Plain.class, Shapes.Derived.class}) {
            for (String document : certain) {
                Codecs.of(type).read(new JsonReader(document.getBytes(StandardCharsets.UTF_8)));
            }
        }
    }

    private static void check(Type type, byte[] json) {
        String shown = type + " from " + new String(json, 0, Math.min(json.length, 300), StandardCharsets.UTF_8);
        String fast = null;
        Throwable refusal = null;
        try {
            fast = Oracle.show(Codecs.of(type).read(new JsonReader(json)));
        } catch (Doubt e) {
            return;
        } catch (MalformedJson | BeanShape.BeanFailure e) {
            refusal = e;
        }
        String expected;
        try {
            expected = Oracle.show(Oracle.read(type, json));
        } catch (java.io.UncheckedIOException e) {
            assertTrue(refusal != null, () -> shown + ": the published library refuses it: " + e.getMessage());
            return;
        }
        if (refusal != null) {
            fail(shown + ": the published library reads " + expected, refusal);
        }
        assertEquals(expected, fast, shown);
    }

    private static List<Type> types() {
        List<Type> types = new ArrayList<>(List.of(CLASSES));
        for (Field field : ReadOracleTest.class.getDeclaredFields()) {
            if (!java.lang.reflect.Modifier.isStatic(field.getModifiers())) {
                types.add(field.getGenericType());
            }
        }
        return types;
    }
}
