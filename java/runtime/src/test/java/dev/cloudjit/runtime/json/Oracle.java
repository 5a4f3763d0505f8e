package dev.cloudjit.runtime.json;

import com.amazonaws.lambda.thirdparty.com.fasterxml.jackson.databind.JsonNode;
import com.amazonaws.lambda.thirdparty.com.fasterxml.jackson.databind.ObjectMapper;
import com.amazonaws.services.lambda.runtime.serialization.PojoSerializer;
import com.amazonaws.services.lambda.runtime.serialization.factories.JacksonFactory;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.lang.reflect.Type;
import java.util.Collection;
import java.util.Map;

/** What the published library does. */
final class Oracle {
    private static final ObjectMapper TREES = new ObjectMapper();

    private Oracle() {}

    static Object read(Type type, byte[] json) {
        return serializer(type).fromJson(new ByteArrayInputStream(json));
    }

    static byte[] write(Type type, Object value) {
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        serializer(type).toJson(value, out);
        return out.toByteArray();
    }

    static JsonNode tree(byte[] json) {
        try {
            return TREES.readTree(json);
        } catch (java.io.IOException e) {
            throw new AssertionError("not JSON: " + new String(json), e);
        }
    }

    /** The value with the class of every part, so that Integer 1 and Long 1 differ. */
    static String show(Object value) {
        if (value == null) {
            return "null";
        }
        StringBuilder out = new StringBuilder(value.getClass().getName()).append(' ');
        if (value instanceof Map) {
            for (Map.Entry<?, ?> entry : ((Map<?, ?>) value).entrySet()) {
                out.append(show(entry.getKey())).append("->").append(show(entry.getValue())).append(", ");
            }
        } else if (value instanceof Collection) {
            for (Object element : (Collection<?>) value) {
                out.append(show(element)).append(", ");
            }
        } else if (value.getClass().getName().startsWith("java.lang.") || value instanceof Number) {
            out.append(value);
        } else if (!(value instanceof Shapes.Throwing)) {
            out.append(new String(write(Object.class, value)));
        }
        return out.toString();
    }

    private static PojoSerializer<Object> serializer(Type type) {
        return JacksonFactory.getInstance().getSerializer(type);
    }
}
