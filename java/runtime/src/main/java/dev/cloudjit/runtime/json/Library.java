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
     * trace says that it is needed; and it registers itself when it is initialized, so that its name is all that such
     * an image must know of it.
     */
    static synchronized Library load() {
        if (loaded == null) {
            String name = Library.class.getPackageName() + (isReplaced() ? ".CustomLibrary" : ".PublishedLibrary");
            try {
                Class.forName(name);
            } catch (ClassNotFoundException e) {
                throw new IllegalStateException("load the serialization library " + name, e);
            }
        }
        return loaded;
    }

    /** Called by the initializer of the class that {@link #load} names. */
    static void register(Library library) {
        loaded = library;
    }

    abstract Serializer serializer(Type type);

    /** Reads and writes one type. */
    interface Serializer {
        Object read(InputStream json);

        void write(Object value, OutputStream out);
    }
}
