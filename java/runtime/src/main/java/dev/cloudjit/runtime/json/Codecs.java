package dev.cloudjit.runtime.json;

import java.lang.reflect.Array;
import java.lang.reflect.ParameterizedType;
import java.lang.reflect.Type;
import java.util.ArrayList;
import java.util.Base64;
import java.util.Collection;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;

/** Finds the codec of a declared type. Throws {@link Doubt} for what the published library must do. */
final class Codecs {
    private static final HashMap<Type, Codec> BEANS = new HashMap<>();

    private Codecs() {}

    static Codec of(Type type) {
        if (type instanceof Class) {
            return ofClass((Class<?>) type);
        }
        if (type instanceof ParameterizedType) {
            ParameterizedType parameterized = (ParameterizedType) type;
            Type[] arguments = parameterized.getActualTypeArguments();
            Class<?> raw = (Class<?>) parameterized.getRawType();
            if (isMap(raw) && arguments.length == 2 && arguments[0] == String.class) {
                return new MapCodec(raw, of(arguments[1]));
            }
            if (isCollection(raw) && arguments.length == 1) {
                return new CollectionCodec(raw, of(arguments[0]));
            }
        }
        throw new Doubt("type");
    }

    private static Codec ofClass(Class<?> type) {
        if (type == Object.class) {
            return new AnyCodec();
        }
        Codec scalar = Scalars.of(type);
        if (scalar != null) {
            return scalar;
        }
        if (isMap(type)) {
            return new MapCodec(type, new AnyCodec());
        }
        if (isCollection(type)) {
            return new CollectionCodec(type, new AnyCodec());
        }
        if (type == byte[].class) {
            return new BytesCodec();
        }
        if (type.isArray() && (type.getComponentType() == String.class || !type.getComponentType().isPrimitive()
                && !type.getComponentType().isArray())) {
            return new ArrayCodec(type.getComponentType(), of(type.getComponentType()));
        }
        synchronized (BEANS) {
            Codec bean = BEANS.get(type);
            if (bean == null) {
                bean = new BeanCodec(Values.shape(type));
                BEANS.put(type, bean);
            }
            return bean;
        }
    }

    private static boolean isMap(Class<?> type) {
        return type == Map.class || type == LinkedHashMap.class || type == HashMap.class;
    }

    private static boolean isCollection(Class<?> type) {
        return type == List.class || type == ArrayList.class || type == Collection.class || type == Set.class
                || type == HashSet.class || type == LinkedHashSet.class;
    }

    private static final class AnyCodec extends Codec {
        @Override
        Object read(JsonReader in) {
            return in.readAny();
        }
    }

    private static final class MapCodec extends Codec {
        private final boolean ordered;
        private final Codec values;

        MapCodec(Class<?> type, Codec values) {
            this.ordered = type != HashMap.class;
            this.values = values;
        }

        @Override
        Object read(JsonReader in) {
            if (in.takeNull()) {
                return null;
            }
            char c = in.peek();
            if (c == '[' || c == '"') {
                throw new Doubt("not an object");
            }
            if (c != '{') {
                throw new MalformedJson("a scalar where an object is expected");
            }
            in.beginObject();
            HashMap<String, Object> map = ordered ? new LinkedHashMap<>() : new HashMap<>();
            for (String name = in.nextName(true); name != null; name = in.nextName(false)) {
                map.put(name, values.read(in));
            }
            return map;
        }
    }

    private static final class CollectionCodec extends Codec {
        private final Class<?> type;
        private final Codec elements;

        CollectionCodec(Class<?> type, Codec elements) {
            this.type = type;
            this.elements = elements;
        }

        @Override
        Object read(JsonReader in) {
            if (in.takeNull()) {
                return null;
            }
            if (in.peek() != '[') {
                throw new Doubt("not an array");
            }
            Collection<Object> values = create();
            in.beginArray();
            for (boolean more = in.nextElement(true); more; more = in.nextElement(false)) {
                values.add(elements.read(in));
            }
            return values;
        }

        private Collection<Object> create() {
            if (type == LinkedHashSet.class) {
                return new LinkedHashSet<>();
            }
            if (type == Set.class || type == HashSet.class) {
                return new HashSet<>();
            }
            return new ArrayList<>();
        }
    }

    private static final class ArrayCodec extends Codec {
        private final Class<?> element;
        private final Codec elements;

        ArrayCodec(Class<?> element, Codec elements) {
            this.element = element;
            this.elements = elements;
        }

        @Override
        Object read(JsonReader in) {
            if (in.takeNull()) {
                return null;
            }
            if (in.peek() != '[') {
                throw new Doubt("not an array");
            }
            ArrayList<Object> values = new ArrayList<>();
            in.beginArray();
            for (boolean more = in.nextElement(true); more; more = in.nextElement(false)) {
                values.add(elements.read(in));
            }
            return values.toArray((Object[]) Array.newInstance(element, values.size()));
        }
    }

    private static final class BytesCodec extends Codec {
        @Override
        Object read(JsonReader in) {
            if (in.takeNull()) {
                return null;
            }
            if (in.peek() != '"') {
                throw new Doubt("not Base64");
            }
            String text = in.readString();
            try {
                if (text.length() % 4 == 0) {
                    return Base64.getDecoder().decode(text);
                }
                throw new Doubt("Base64 without padding");
            } catch (IllegalArgumentException e) {
                throw new Doubt("not Base64");
            }
        }
    }

    private static final class BeanCodec extends Codec {
        private final BeanShape shape;

        BeanCodec(BeanShape shape) {
            this.shape = shape;
        }

        @Override
        Object read(JsonReader in) {
            if (in.takeNull()) {
                return null;
            }
            if (in.peek() != '{' || shape.type.getTypeParameters().length > 0) {
                throw new Doubt("not an object");
            }
            Object bean = shape.create();
            in.beginObject();
            for (String name = in.nextName(true); name != null; name = in.nextName(false)) {
                BeanShape.Property property = shape.property(name);
                if (property == null) {
                    in.skipValue();
                } else {
                    property.read(in, bean);
                }
            }
            return bean;
        }

        /** The published library writes a subclass with the properties of the declared class. */
        @Override
        void write(JsonWriter out, Object value) {
            if (value.getClass() != shape.type) {
                throw new Doubt("subclass");
            }
            super.write(out, value);
        }
    }
}
