package dev.cloudjit.runtime.json;

import java.math.BigDecimal;
import java.math.BigInteger;
import java.util.Base64;
import java.util.Collection;
import java.util.HashMap;
import java.util.Map;

/** Writes values by their class at run time. */
final class Values {
    /** Deeper values are perhaps cyclic; the published library has the words for that. */
    private static final int MAX_DEPTH = 400;

    private static final HashMap<Class<?>, BeanShape> SHAPES = new HashMap<>();

    private Values() {}

    static void write(JsonWriter out, Object value, int depth) {
        if (value == null) {
            out.raw("null");
        } else if (value instanceof String) {
            out.string((String) value);
        } else if (value instanceof Number) {
            writeNumber(out, (Number) value);
        } else if (value instanceof Boolean) {
            out.raw((Boolean) value ? "true" : "false");
        } else if (depth > MAX_DEPTH) {
            throw new Doubt("deep value");
        } else if (value instanceof Map) {
            writeMap(out, (Map<?, ?>) value, depth);
        } else if (value instanceof Collection) {
            writeCollection(out, (Collection<?>) value, depth);
        } else if (value instanceof Character) {
            out.string(value.toString());
        } else if (value instanceof Enum) {
            out.string(((Enum<?>) value).name());
        } else if (value.getClass().isArray()) {
            writeArray(out, value, depth);
        } else {
            writeBean(out, value, shape(value.getClass()), depth);
        }
    }

    static synchronized BeanShape shape(Class<?> type) {
        BeanShape shape = SHAPES.get(type);
        if (shape == null) {
            shape = BeanShape.of(type);
            SHAPES.put(type, shape);
        }
        return shape;
    }

    private static void writeBean(JsonWriter out, Object bean, BeanShape shape, int depth) {
        if (!shape.isReadable()) {
            throw new Doubt("nothing to write");
        }
        out.raw('{');
        boolean first = true;
        for (BeanShape.Property property : shape.properties) {
            if (!property.isReadable()) {
                continue;
            }
            Object value = property.get(bean);
            if (value == bean) {
                throw new Doubt("reference to itself");
            }
            if (value != null) {
                out.name(property.name, first);
                first = false;
                write(out, value, depth + 1);
            }
        }
        out.raw('}');
    }

    private static void writeMap(JsonWriter out, Map<?, ?> map, int depth) {
        requirePlatformClass(map);
        out.raw('{');
        boolean first = true;
        for (Map.Entry<?, ?> entry : map.entrySet()) {
            if (!(entry.getKey() instanceof String)) {
                throw new Doubt("key of a map");
            }
            if (entry.getValue() != null) {
                out.name((String) entry.getKey(), first);
                first = false;
                write(out, entry.getValue(), depth + 1);
            }
        }
        out.raw('}');
    }

    private static void writeCollection(JsonWriter out, Collection<?> values, int depth) {
        requirePlatformClass(values);
        out.raw('[');
        boolean first = true;
        for (Object value : values) {
            if (!first) {
                out.raw(',');
            }
            first = false;
            write(out, value, depth + 1);
        }
        out.raw(']');
    }

    private static void writeArray(JsonWriter out, Object array, int depth) {
        if (array instanceof byte[]) {
            out.raw('"').raw(Base64.getEncoder().encodeToString((byte[]) array)).raw('"');
            return;
        }
        if (array instanceof char[]) {
            out.string(new String((char[]) array));
            return;
        }
        int length = java.lang.reflect.Array.getLength(array);
        out.raw('[');
        for (int i = 0; i < length; i++) {
            if (i > 0) {
                out.raw(',');
            }
            if (array instanceof Object[]) {
                write(out, ((Object[]) array)[i], depth + 1);
            } else if (array instanceof int[]) {
                out.raw(Integer.toString(((int[]) array)[i]));
            } else if (array instanceof long[]) {
                out.raw(Long.toString(((long[]) array)[i]));
            } else if (array instanceof double[]) {
                writeNumber(out, ((double[]) array)[i]);
            } else {
                throw new Doubt("array");
            }
        }
        out.raw(']');
    }

    private static void writeNumber(JsonWriter out, Number value) {
        if (value instanceof Double) {
            double d = (Double) value;
            writeFloating(out, value.toString(), Double.isNaN(d) || Double.isInfinite(d));
        } else if (value instanceof Float) {
            float f = (Float) value;
            writeFloating(out, value.toString(), Float.isNaN(f) || Float.isInfinite(f));
        } else if (value instanceof Integer || value instanceof Long || value instanceof Short || value instanceof Byte
                || value.getClass() == BigInteger.class || value.getClass() == BigDecimal.class) {
            out.raw(value.toString());
        } else {
            throw new Doubt("number");
        }
    }

    private static void writeFloating(JsonWriter out, String text, boolean quoted) {
        if (quoted) {
            out.string(text);
        } else {
            out.raw(text);
        }
    }

    /** The collections of java.util have no serializers of their own; others might. */
    private static void requirePlatformClass(Object collection) {
        if (!collection.getClass().getName().startsWith("java.util.")) {
            throw new Doubt("collection class");
        }
    }
}
