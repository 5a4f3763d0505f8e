package dev.cloudjit.runtime.json;

import java.util.Map;

/** Builds one JSON object of texts, for error documents and log lines; reads such objects back. */
public final class JsonText {
    private final JsonWriter out = new JsonWriter().raw('{');
    private boolean first = true;

    /** A null value leaves the member out. */
    public JsonText member(String name, String value) {
        if (value != null) {
            out.name(name, first).string(whole(value));
            first = false;
        }
        return this;
    }

    public JsonText member(String name, String[] values) {
        if (values != null) {
            out.name(name, first).raw('[');
            first = false;
            for (int i = 0; i < values.length; i++) {
                if (i > 0) {
                    out.raw(',');
                }
                out.string(whole(values[i]));
            }
            out.raw(']');
        }
        return this;
    }

    /** A value that is JSON already. */
    public JsonText member(String name, JsonText[] values) {
        out.name(name, first).raw('[');
        first = false;
        for (int i = 0; i < values.length; i++) {
            if (i > 0) {
                out.raw(',');
            }
            out.raw(values[i].end());
        }
        out.raw(']');
        return this;
    }

    public JsonText number(String name, int value) {
        out.name(name, first).raw(Integer.toString(value));
        first = false;
        return this;
    }

    public String end() {
        return out.raw('}').toString();
    }

    /** An object as a map of plain values; anything else is {@link MalformedJson}. */
    @SuppressWarnings("unchecked")
    public static Map<String, Object> parseObject(String json) {
        byte[] bytes = json.getBytes(java.nio.charset.StandardCharsets.UTF_8);
        Object value;
        try {
            value = new JsonReader(bytes).readAny();
        } catch (Doubt e) {
            throw new MalformedJson("unusual JSON");
        }
        if (!(value instanceof Map)) {
            throw new MalformedJson("not an object");
        }
        return (Map<String, Object>) value;
    }

    /** Half a surrogate pair cannot be UTF-8: replaced, as in any conversion. */
    private static String whole(String s) {
        for (int i = 0; i < s.length(); i++) {
            if (Character.isSurrogate(s.charAt(i))) {
                byte[] utf8 = s.getBytes(java.nio.charset.StandardCharsets.UTF_8);
                return new String(utf8, java.nio.charset.StandardCharsets.UTF_8);
            }
        }
        return s;
    }
}
