package dev.cloudjit.runtime.json;

import java.nio.charset.StandardCharsets;

/** Writes tokens in the form that Jackson's generator gives them. The caller keeps the grammar. */
public final class JsonWriter {
    private static final char[] HEX = {'0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F'};

    private final StringBuilder out = new StringBuilder(256);

    /** The document so far as UTF-8. */
    public byte[] toBytes() {
        return out.toString().getBytes(StandardCharsets.UTF_8);
    }

    @Override
    public String toString() {
        return out.toString();
    }

    JsonWriter raw(char c) {
        out.append(c);
        return this;
    }

    JsonWriter raw(String s) {
        out.append(s);
        return this;
    }

    JsonWriter name(String name, boolean first) {
        if (!first) {
            out.append(',');
        }
        string(name);
        out.append(':');
        return this;
    }

    JsonWriter string(String s) {
        out.append('"');
        int from = 0;
        for (int i = 0; i < s.length(); i++) {
            char c = s.charAt(i);
            if (c >= ' ' && c != '"' && c != '\\' && (c < '\uD800' || c > '\uDFFF')) {
                continue;
            }
            out.append(s, from, i);
            from = i + 1;
            if (c < '\uD800') {
                escape(c);
                continue;
            }
            if (c > '\uDBFF' || from == s.length() || !Character.isLowSurrogate(s.charAt(from))) {
                throw new Doubt("half a surrogate pair");
            }
            // Jackson writes pairs as two escapes.
            unicode(c);
            unicode(s.charAt(from));
            i = from++;
        }
        out.append(s, from, s.length()).append('"');
        return this;
    }

    private void escape(char c) {
        out.append('\\');
        switch (c) {
            case '"':
            case '\\':
                out.append(c);
                return;
            case '\b':
                out.append('b');
                return;
            case '\f':
                out.append('f');
                return;
            case '\n':
                out.append('n');
                return;
            case '\r':
                out.append('r');
                return;
            case '\t':
                out.append('t');
                return;
            default:
                out.setLength(out.length() - 1);
                unicode(c);
        }
    }

    private void unicode(char c) {
        out.append("\\u").append(HEX[c >> 12]).append(HEX[c >> 8 & 15]).append(HEX[c >> 4 & 15]).append(HEX[c & 15]);
    }
}
