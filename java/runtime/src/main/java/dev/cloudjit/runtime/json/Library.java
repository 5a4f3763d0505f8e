package dev.cloudjit.runtime.json;

import java.io.InputStream;
import java.io.OutputStream;
import java.lang.reflect.Type;

/** The serialization that the fast path defers to. */
public abstract class Library {
    /** How a function brings its own serialization: aws-lambda-java-core's CustomPojoSerializer. */
    private static final String CUSTOM = "META-INF/services/com.amazonaws.services.lambda.runtime.CustomPojoSerializer";

    private static Boolean replaced;
    private static Library loaded;

    /** Whether the function brings a serialization of its own, which then does everything. */
    static synchronized boolean isReplaced() {
        if (replaced == null) {
            replaced = Thread.currentThread().getContextClassLoader().getResource(CUSTOM) != null;
        }
        return replaced;
    }

    /**
     * The class is named at run time, so that a native image holds the published library only when the function's
     * trace says that it is needed.
     */
    static synchronized Library load() {
        if (loaded == null) {
            String name = implementation(isReplaced());
            try {
                loaded = (Library) Class.forName(name).getDeclaredConstructor().newInstance();
            } catch (ReflectiveOperationException e) {
                throw new IllegalStateException("load the serialization library " + name, e);
            }
        }
        return loaded;
    }

    /** The class that {@link #load} makes an instance of. */
    public static String implementation(boolean replaced) {
        return Library.class.getPackageName() + (replaced ? ".CustomLibrary" : ".PublishedLibrary");
    }

    abstract Serializer serializer(Type type);

    /** Reads and writes one type. */
    interface Serializer {
        Object read(InputStream json);

        void write(Object value, OutputStream out);
    }
}
