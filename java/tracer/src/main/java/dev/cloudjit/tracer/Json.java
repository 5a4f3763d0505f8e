package dev.cloudjit.tracer;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** The little JSON that the agent needs: it must not bring a library into the program. */
final class Json {
    private final String text;
    private int at;

    private Json(String text) {
        this.text = text;
    }

    /** Appends a quoted string. */
    static StringBuilder string(StringBuilder s, String value) {
        s.append('"');
        for (int i = 0; i < value.length(); i++) {
            char c = value.charAt(i);
            if (c == '"' || c == '\\') {
                s.append('\\').append(c);
            } else if (c < ' ' || Character.isSurrogate(c) || c == 0x7f) {
                s.append("\\u");
                for (int shift = 12; shift >= 0; shift -= 4) {
                    s.append(Character.forDigit(c >> shift & 15, 16));
                }
            } else {
                s.append(c);
            }
        }
        return s.append('"');
    }

    /** Reads a document into maps, lists, strings, booleans, and numbers as strings. */
    static Object parse(String text) {
        Json json = new Json(text);
        Object value = json.value(0);
        if (json.next() != 0) {
            throw json.wrong("the end");
        }
        return value;
    }

    private char next() {
        while (at < text.length()) {
            char c = text.charAt(at);
            if (c != ' ' && c != '\n' && c != '\r' && c != '\t') {
                return c;
            }
            at++;
        }
        return 0;
    }

    private IllegalArgumentException wrong(String wanted) {
        return new IllegalArgumentException("no JSON: want " + wanted + " at character " + at);
    }

    private void expect(char c) {
        if (next() != c) {
            throw wrong("'" + c + "'");
        }
        at++;
    }

    private Object value(int depth) {
        if (depth > 32) {
            throw wrong("less nesting");
        }
        switch (next()) {
            case '{' -> {
                Map<String, Object> map = new LinkedHashMap<>();
                for (boolean more = open('}'); more; more = more('}')) {
                    next();
                    String key = string();
                    expect(':');
                    map.put(key, value(depth + 1));
                }
                return map;
            }
            case '[' -> {
                List<Object> list = new ArrayList<>();
                for (boolean more = open(']'); more; more = more(']')) {
                    list.add(value(depth + 1));
                }
                return list;
            }
            case '"' -> {
                return string();
            }
            default -> {
                int start = at;
                while (at < text.length() && (Character.isLetterOrDigit(text.charAt(at)) || "+-.".indexOf(text.charAt(at)) >= 0)) {
                    at++;
                }
                String word = text.substring(start, at);
                if (word.isEmpty()) {
                    throw wrong("a value");
                }
                return switch (word) {
                    case "true" -> Boolean.TRUE;
                    case "false" -> Boolean.FALSE;
                    case "null" -> null;
                    default -> word;
                };
            }
        }
    }

    private boolean open(char end) {
        at++;
        if (next() == end) {
            at++;
            return false;
        }
        return true;
    }

    private boolean more(char end) {
        char c = next();
        if (c != ',' && c != end) {
            throw wrong("',' or '" + end + "'");
        }
        at++;
        return c == ',';
    }

    private String string() {
        expect('"');
        StringBuilder s = new StringBuilder();
        while (at < text.length()) {
            char c = text.charAt(at++);
            if (c == '"') {
                return s.toString();
            }
            if (c == '\\') {
                c = escape();
            }
            s.append(c);
        }
        throw wrong("'\"'");
    }

    private char escape() {
        char c = at < text.length() ? text.charAt(at++) : 0;
        switch (c) {
            case 'n':
                return '\n';
            case 't':
                return '\t';
            case 'r':
                return '\r';
            case 'b':
                return '\b';
            case 'f':
                return '\f';
            case 'u':
                if (at + 4 > text.length()) {
                    throw wrong("four hexadecimal digits");
                }
                at += 4;
                return (char) Integer.parseInt(text.substring(at - 4, at), 16);
            default:
                return c;
        }
    }
}
