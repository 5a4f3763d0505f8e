package dev.cloudjit.runtime;

import com.amazonaws.services.lambda.runtime.Context;
import com.amazonaws.services.lambda.runtime.RequestHandler;
import com.amazonaws.services.lambda.runtime.RequestStreamHandler;
import dev.cloudjit.runtime.api.Body;
import java.io.ByteArrayInputStream;
import java.lang.reflect.Constructor;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Modifier;
import java.lang.reflect.Type;
import java.lang.reflect.TypeVariable;

/** Finds the handler that a function's configuration names: "package.Class" or "package.Class::method". */
final class Handlers {
    private Handlers() {}

    /**
     * Loads and makes the handler. Throws a fatal {@link Fault} when its initialization failed; what else is wrong with
     * it is said by the handler that is returned, to every invocation.
     */
    static Handler load(String handler) {
        Class<?> type;
        try {
            type = type(handler);
        } catch (ClassNotFoundException e) {
            return new Handler.Faulty(Fault.classNotFound(e, className(handler)));
        } catch (NoClassDefFoundError e) {
            return new Handler.Faulty(Fault.loading(e, className(handler)));
        } catch (Fault f) {
            return new Handler.Faulty(f);
        } catch (Throwable t) {
            throw Fault.loading(t, className(handler));
        }
        try {
            String method = methodName(handler);
            return method == null ? ofClass(type) : MethodHandlers.load(type, method);
        } catch (Fault f) {
            if (f.fatal) {
                throw f;
            }
            return new Handler.Faulty(f);
        } catch (Throwable t) {
            return new Handler.Faulty(Fault.of(t, false));
        }
    }

    static Class<?> type(String handler) throws ClassNotFoundException {
        String method = methodName(handler);
        if (className(handler).isEmpty() || method != null && method.isEmpty()) {
            throw Fault.of("Invalid handler: `" + handler + "'");
        }
        return Class.forName(className(handler), true, Thread.currentThread().getContextClassLoader());
    }

    static String className(String handler) {
        int colons = handler.lastIndexOf("::");
        return colons < 0 ? handler : handler.substring(0, colons);
    }

    /** Null: the handler is named by its class alone. */
    static String methodName(String handler) {
        int colons = handler.lastIndexOf("::");
        return colons < 0 ? null : handler.substring(colons + 2);
    }

    /** An instance made by the public constructor without arguments. What that throws is fatal. */
    static Object instance(Class<?> type) throws Exception {
        Constructor<?> constructor;
        try {
            constructor = type.getConstructor();
        } catch (NoSuchMethodException e) {
            if (type.getEnclosingClass() != null && !Modifier.isStatic(type.getModifiers())) {
                throw new Exception(
                        "Class " + type.getName() + " cannot be instantiated because it is a non-static inner class");
            }
            throw new Exception("Class " + type.getName() + " has no public zero-argument constructor", e);
        }
        try {
            return constructor.newInstance();
        } catch (InvocationTargetException e) {
            throw Fault.of(e.getCause() == null ? e : e.getCause(), true);
        }
    }

    /** The event and answer types of a RequestHandler. */
    static Type[] types(Class<?> type) {
        Type[] types = TypeArguments.of(type, RequestHandler.class);
        if (types == null) {
            throw Fault.of(
                    "Class " + type.getName() + " does not implement RequestHandler with concrete type parameters");
        }
        for (Type t : types) {
            if (t instanceof TypeVariable && !isBounded((TypeVariable<?>) t)) {
                throw Fault.of("Class " + type.getName() + " does not implement RequestHandler with concrete type"
                        + " parameters: parameter " + t + " has no upper bound.");
            }
        }
        return types;
    }

    @SuppressWarnings("unchecked")
    private static Handler ofClass(Class<?> type) throws Exception {
        if (RequestStreamHandler.class.isAssignableFrom(type)) {
            return new OfStreams((RequestStreamHandler) instance(type));
        }
        if (RequestHandler.class.isAssignableFrom(type)) {
            Type[] types = types(type);
            return new OfObjects((RequestHandler<Object, Object>) instance(type), types[0], types[1]);
        }
        throw Fault.of("Class does not implement an appropriate handler interface: " + type.getName());
    }

    private static boolean isBounded(TypeVariable<?> variable) {
        for (Type bound : variable.getBounds()) {
            if (bound != Object.class) {
                return true;
            }
        }
        return false;
    }

    private static final class OfStreams extends Handler {
        private final RequestStreamHandler handler;

        OfStreams(RequestStreamHandler handler) {
            this.handler = handler;
        }

        @Override
        void handle(byte[] event, Context context, Body answer) throws Throwable {
            handler.handleRequest(new ByteArrayInputStream(event), answer, context);
        }
    }

    private static final class OfObjects extends ObjectHandler {
        private final RequestHandler<Object, Object> handler;

        OfObjects(RequestHandler<Object, Object> handler, Type input, Type output) {
            super(input, output);
            this.handler = handler;
        }

        @Override
        Object call(Object event, Context context) {
            return handler.handleRequest(event, context);
        }
    }
}
