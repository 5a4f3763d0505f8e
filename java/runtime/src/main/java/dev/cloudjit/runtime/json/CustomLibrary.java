package dev.cloudjit.runtime.json;

import com.amazonaws.services.lambda.runtime.CustomPojoSerializer;
import java.io.InputStream;
import java.io.OutputStream;
import java.lang.reflect.Type;
import java.util.Iterator;
import java.util.ServiceLoader;

/** The one CustomPojoSerializer that the function brings. */
final class CustomLibrary extends Library {
    static {
        register(new CustomLibrary());
    }

    private final CustomPojoSerializer custom;

    private CustomLibrary() {
        ClassLoader loader = Thread.currentThread().getContextClassLoader();
        Iterator<CustomPojoSerializer> found = ServiceLoader.load(CustomPojoSerializer.class, loader).iterator();
        custom = found.next();
        if (found.hasNext()) {
            throw new IllegalStateException(
                    "Too many serializers provided inside the META-INF/services folder, only one is allowed");
        }
    }

    @Override
    Serializer serializer(Type type) {
        return new Custom(custom, type);
    }

    private static final class Custom implements Serializer {
        private final CustomPojoSerializer custom;
        private final Type type;

        Custom(CustomPojoSerializer custom, Type type) {
            this.custom = custom;
            this.type = type;
        }

        @Override
        public Object read(InputStream json) {
            return custom.fromJson(json, type);
        }

        @Override
        public void write(Object value, OutputStream out) {
            custom.toJson(value, out, type);
        }
    }
}
