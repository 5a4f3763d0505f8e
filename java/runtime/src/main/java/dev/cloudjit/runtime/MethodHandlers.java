package dev.cloudjit.runtime;

import com.amazonaws.services.lambda.runtime.Context;
import dev.cloudjit.runtime.api.Body;
import java.io.ByteArrayInputStream;
import java.io.InputStream;
import java.io.OutputStream;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.lang.reflect.Modifier;
import java.lang.reflect.Type;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;

/**
 * Handlers named "package.Class::method": a public method of any name, static or not, with at most an event (or streams)
 * and a Context.
 */
final class MethodHandlers {
    private MethodHandlers() {}

    static Handler load(Class<?> type, String name) throws Exception {
        return wrap(type, find(type, name));
    }

    /** Of several methods of the name, the one with the most parameters is taken, a Context counting twice. */
    static Method find(Class<?> type, String name) {
        List<Method> candidates = new ArrayList<>();
        try {
            for (Method method : type.getMethods()) {
                if (method.getName().equals(name)) {
                    candidates.add(method);
                }
            }
        } catch (NoClassDefFoundError e) {
            throw Fault.loadingMethod(e, "Error loading method " + name + " on class " + type.getName());
        }
        candidates.sort(new Comparator<Method>() {
            @Override
            public int compare(Method a, Method b) {
                if (a.isBridge() != b.isBridge()) {
                    return a.isBridge() ? 1 : -1;
                }
                return weight(b) - weight(a);
            }
        });
        for (Method method : candidates) {
            if (isUsable(method.getGenericParameterTypes())) {
                return method;
            }
        }
        throw Fault.of("No public method named " + name + " with appropriate method signature found on class "
                + type.getName());
    }

    /** The type of the event; null: the method takes none, or a stream. */
    static Type eventType(Method method) {
        Type[] types = method.getGenericParameterTypes();
        return types.length == 0 || types[0] == Context.class || isStream(types[0]) ? null : types[0];
    }

    static boolean isStreaming(Method method) {
        Class<?>[] types = method.getParameterTypes();
        return types.length > 0 && isStream(types[0]);
    }

    private static boolean isStream(Type type) {
        return type == InputStream.class || type == OutputStream.class;
    }

    private static int weight(Method method) {
        Class<?>[] types = method.getParameterTypes();
        return types.length + (types.length > 0 && types[types.length - 1] == Context.class ? 1 : 0);
    }

    private static boolean isUsable(Type[] types) {
        switch (types.length) {
            case 0:
            case 1:
                return true;
            case 2:
                return types[0] != Context.class
                        && (types[1] == Context.class
                                || types[0] == InputStream.class && types[1] == OutputStream.class);
            case 3:
                return types[0] == InputStream.class && types[1] == OutputStream.class && types[2] == Context.class;
            default:
                return false;
        }
    }

    private static Handler wrap(Class<?> type, Method method) throws Exception {
        Object instance = Modifier.isStatic(method.getModifiers()) ? null : Handlers.instance(type);
        return isStreaming(method) ? new OfStreams(method, instance) : new OfObjects(method, instance);
    }

    private static Object invoke(Method method, Object instance, Object[] arguments) throws Throwable {
        try {
            return method.invoke(instance, arguments);
        } catch (InvocationTargetException e) {
            throw e.getCause() == null ? e : e.getCause();
        }
    }

    private static final class OfObjects extends ObjectHandler {
        private final Method method;
        private final Object instance;
        private final boolean takesEvent;
        private final boolean takesContext;

        OfObjects(Method method, Object instance) {
            super(eventType(method), method.getGenericReturnType());
            this.method = method;
            this.instance = instance;
            this.takesEvent = eventType(method) != null;
            this.takesContext = method.getParameterCount() == (takesEvent ? 2 : 1);
        }

        @Override
        Object call(Object event, Context context) throws Throwable {
            Object[] arguments = new Object[method.getParameterCount()];
            int i = 0;
            if (takesEvent) {
                arguments[i++] = event;
            }
            if (takesContext) {
                arguments[i] = context;
            }
            return invoke(method, instance, arguments);
        }
    }

    private static final class OfStreams extends Handler {
        private final Method method;
        private final Object instance;
        private final Class<?>[] types;

        OfStreams(Method method, Object instance) {
            this.method = method;
            this.instance = instance;
            this.types = method.getParameterTypes();
        }

        @Override
        void handle(byte[] event, Context context, Body answer) throws Throwable {
            Object[] arguments = new Object[types.length];
            boolean answers = false;
            for (int i = 0; i < types.length; i++) {
                if (types[i] == InputStream.class) {
                    arguments[i] = new ByteArrayInputStream(event);
                } else if (types[i] == OutputStream.class) {
                    arguments[i] = answer;
                    answers = true;
                } else {
                    arguments[i] = context;
                }
            }
            invoke(method, instance, arguments);
            if (!answers) {
                answerNull(answer);
            }
        }
    }
}
