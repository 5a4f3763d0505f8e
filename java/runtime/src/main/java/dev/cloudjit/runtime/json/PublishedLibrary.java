package dev.cloudjit.runtime.json;

import com.amazonaws.services.lambda.runtime.serialization.PojoSerializer;
import com.amazonaws.services.lambda.runtime.serialization.events.LambdaEventSerializers;
import com.amazonaws.services.lambda.runtime.serialization.factories.JacksonFactory;
import java.io.InputStream;
import java.io.OutputStream;
import java.lang.reflect.Type;

/** aws-lambda-java-serialization, used as the published runtime client uses it. */
final class PublishedLibrary extends Library {
    static {
        register(new PublishedLibrary());
    }

    private PublishedLibrary() {}

    @Override
    Serializer serializer(Type type) {
        return new Published(find(type));
    }

    @SuppressWarnings("unchecked")
    private static PojoSerializer<Object> find(Type type) {
        if (type instanceof Class && LambdaEventSerializers.isLambdaSupportedEvent(((Class<?>) type).getName())) {
            ClassLoader loader = Thread.currentThread().getContextClassLoader();
            return LambdaEventSerializers.serializerFor((Class<Object>) type, loader);
        }
        return JacksonFactory.getInstance().getSerializer(type);
    }

    private static final class Published implements Serializer {
        private final PojoSerializer<Object> serializer;

        Published(PojoSerializer<Object> serializer) {
            this.serializer = serializer;
        }

        @Override
        public Object read(InputStream json) {
            return serializer.fromJson(json);
        }

        @Override
        public void write(Object value, OutputStream out) {
            serializer.toJson(value, out);
        }
    }
}
