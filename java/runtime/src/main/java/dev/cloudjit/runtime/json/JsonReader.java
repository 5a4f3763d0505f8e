package dev.cloudjit.runtime.json;

import java.math.BigInteger;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.LinkedHashMap;

/**
 * A pull reader over a whole document in memory.
 *
 * <p>Lenient where the published library is: any character after a backslash, control characters in strings, content
 * after the value. Its further liberties (single quotes, unquoted names, NaN) raise a {@link Doubt}. Not thread-safe;
 * one reader reads one document.
 */
public final class JsonReader {
    /** Jackson's StreamReadConstraints: deeper documents are refused. */
    private static final int MAX_DEPTH = 1000;

    /** Longer numbers are left to the published library, which has limits of its own. */
    private static final int MAX_NUMBER = 200;

    private final String text;
    private final int end;
    private int at;
    private int depth;

    public JsonReader(byte[] json) {
        this(json, json.length);
    }

    public JsonReader(byte[] json, int length) {
        for (int i = 0; i < 4 && i < length; i++) {
            // A zero byte or a byte order mark: UTF-16 or UTF-32, which the published library detects.
            if (json[i] == 0 || (i == 0 && (json[i] & 0xff) >= 0xef)) {
                throw new Doubt("encoding");
            }
        }
        text = new String(json, 0, length, StandardCharsets.UTF_8);
        end = text.length();
        if (text.indexOf('\uFFFD') >= 0) {
            throw new Doubt("replacement character: perhaps not UTF-8");
        }
    }

    /** What the next value begins with: one of <code>{ [ " t f n 0</code>; 0 stands for any number. */
    char peek() {
        skipSpace();
        if (at >= end) {
            throw new MalformedJson("unexpected end of input");
        }
        char c = text.charAt(at);
        switch (c) {
            case '{':
            case '[':
            case '"':
            case 't':
            case 'f':
            case 'n':
                return c;
            case '-':
                return '0';
            case '\'':
            case 'N':
            case 'I':
            case '+':
            case '.':
                throw new Doubt("unusual value");
            default:
                if (c >= '0' && c <= '9') {
                    return '0';
                }
                throw unexpected();
        }
    }

    boolean takeNull() {
        if (peek() != 'n') {
            return false;
        }
        literal("null");
        return true;
    }

    boolean readBoolean() {
        if (peek() == 't') {
            literal("true");
            return true;
        }
        literal("false");
        return false;
    }

    void beginObject() {
        open('{');
    }

    void beginArray() {
        open('[');
    }

    /** The name of the next member, or null when the object ends here. */
    String nextName(boolean first) {
        skipSpace();
        char c = charHere();
        if (c == '}') {
            at++;
            depth--;
            return null;
        }
        if (!first) {
            if (c != ',') {
                throw unexpected();
            }
            at++;
            skipSpace();
            c = charHere();
        }
        if (c != '"') {
            if (",:{}[]".indexOf(c) >= 0) {
                throw unexpected();
            }
            throw new Doubt("unquoted name");
        }
        String name = string();
        skipSpace();
        if (charHere() != ':') {
            throw unexpected();
        }
        at++;
        return name;
    }

    /** Whether another element follows; false takes the array's end. */
    boolean nextElement(boolean first) {
        skipSpace();
        char c = charHere();
        if (c == ']') {
            at++;
            depth--;
            return false;
        }
        if (!first) {
            if (c != ',') {
                throw unexpected();
            }
            at++;
            skipSpace();
            if (charHere() == ']') {
                throw unexpected();
            }
        }
        return true;
    }

    String readString() {
        if (peek() != '"') {
            throw unexpected();
        }
        return string();
    }

    /** The number as it is written. */
    String readNumber() {
        peek();
        int start = at;
        if (text.charAt(at) == '-') {
            at++;
        }
        int digits = at;
        skipDigits();
        if (at == digits) {
            throw new Doubt("unusual number");
        }
        if (text.charAt(digits) == '0' && at - digits > 1) {
            throw new Doubt("leading zeros");
        }
        if (at < end && text.charAt(at) == '.') {
            at++;
            int fraction = at;
            skipDigits();
            if (at == fraction) {
                throw new MalformedJson("no digit after the decimal point", at);
            }
        }
        if (at < end && (text.charAt(at) | 0x20) == 'e') {
            at++;
            if (at < end && (text.charAt(at) == '+' || text.charAt(at) == '-')) {
                at++;
            }
            int exponent = at;
            skipDigits();
            if (at == exponent) {
                throw new MalformedJson("no digit in the exponent", at);
            }
        }
        if (at - start > MAX_NUMBER) {
            throw new Doubt("long number");
        }
        if (at < end && depth == 0 && !isSpace(text.charAt(at))) {
            throw new MalformedJson("a number must end in white space", at);
        }
        return text.substring(start, at);
    }

    /** Any value as a plain map, list, string, number, boolean or null. */
    Object readAny() {
        switch (peek()) {
            case '{':
                beginObject();
                LinkedHashMap<String, Object> map = new LinkedHashMap<>();
                for (String name = nextName(true); name != null; name = nextName(false)) {
                    map.put(name, readAny());
                }
                return map;
            case '[':
                beginArray();
                ArrayList<Object> list = new ArrayList<>();
                for (boolean more = nextElement(true); more; more = nextElement(false)) {
                    list.add(readAny());
                }
                return list;
            case '"':
                return string();
            case 't':
            case 'f':
                return readBoolean();
            case 'n':
                literal("null");
                return null;
            default:
                return number(readNumber());
        }
    }

    void skipValue() {
        switch (peek()) {
            case '{':
                beginObject();
                for (String name = nextName(true); name != null; name = nextName(false)) {
                    skipValue();
                }
                return;
            case '[':
                beginArray();
                for (boolean more = nextElement(true); more; more = nextElement(false)) {
                    skipValue();
                }
                return;
            case '"':
                string();
                return;
            case 't':
            case 'f':
                readBoolean();
                return;
            case 'n':
                literal("null");
                return;
            default:
                readNumber();
        }
    }

    static Number number(String digits) {
        if (!isInteger(digits)) {
            return Double.valueOf(digits);
        }
        if (digits.length() < 10) {
            return Integer.valueOf(digits);
        }
        if (digits.length() < 19) {
            long value = Long.parseLong(digits);
            if (value == (int) value) {
                return (int) value;
            }
            return value;
        }
        BigInteger value = new BigInteger(digits);
        if (value.bitLength() < 64) {
            return value.longValue();
        }
        return value;
    }

    static boolean isInteger(String digits) {
        for (int i = 0; i < digits.length(); i++) {
            char c = digits.charAt(i);
            if (c == '.' || c == 'e' || c == 'E') {
                return false;
            }
        }
        return true;
    }

    private String string() {
        at++;
        int stop = text.indexOf('"', at);
        if (stop < 0) {
            throw new MalformedJson("string without an end", at);
        }
        int escape = text.indexOf('\\', at);
        if (escape < 0 || escape > stop) {
            String value = text.substring(at, stop);
            at = stop + 1;
            return value;
        }
        return escapedString();
    }

    private String escapedString() {
        StringBuilder out = new StringBuilder();
        while (at < end) {
            char c = text.charAt(at++);
            if (c == '"') {
                return out.toString();
            }
            out.append(c == '\\' ? escape() : c);
        }
        throw new MalformedJson("string without an end", at);
    }

    private char escape() {
        char c = charHere();
        at++;
        switch (c) {
            case 'b':
                return '\b';
            case 'f':
                return '\f';
            case 'n':
                return '\n';
            case 'r':
                return '\r';
            case 't':
                return '\t';
            case 'u':
                int code = 0;
                for (int i = 0; i < 4; i++) {
                    char hex = charHere();
                    int digit = hex < 128 ? Character.digit(hex, 16) : -1;
                    if (digit < 0) {
                        throw unexpected();
                    }
                    code = code << 4 | digit;
                    at++;
                }
                return (char) code;
            default:
                if (c > 127) {
                    throw new Doubt("escape of a character beyond ASCII");
                }
                return c;
        }
    }

    private void literal(String word) {
        if (!text.startsWith(word, at)) {
            throw unexpected();
        }
        at += word.length();
        if (at < end && Character.isJavaIdentifierPart(text.charAt(at))) {
            throw unexpected();
        }
    }

    private void open(char c) {
        if (peek() != c) {
            throw unexpected();
        }
        if (++depth > MAX_DEPTH) {
            throw new MalformedJson("nesting deeper than " + MAX_DEPTH, at);
        }
        at++;
    }

    private void skipDigits() {
        while (at < end && text.charAt(at) >= '0' && text.charAt(at) <= '9') {
            at++;
        }
    }

    private void skipSpace() {
        while (at < end && isSpace(text.charAt(at))) {
            at++;
        }
    }

    private static boolean isSpace(char c) {
        return c == ' ' || c == '\n' || c == '\r' || c == '\t';
    }

    private char charHere() {
        if (at >= end) {
            throw new MalformedJson("unexpected end of input");
        }
        return text.charAt(at);
    }

    private MalformedJson unexpected() {
        if (at >= end) {
            return new MalformedJson("unexpected end of input");
        }
        return new MalformedJson("unexpected '" + text.charAt(at) + "'", at);
    }
}
