package dev.cloudjit.tracer;

import java.lang.reflect.Proxy;
import java.util.Iterator;
import java.util.Set;
import java.util.function.Function;
import java.util.stream.Stream;

/**
 * For whom something was done. What the JDK does for itself is prepared by native-image; what
 * the program does, or lets the JDK do with the program's classes, must be recorded.
 */
final class Callers {
    private Callers() {}

    /** What the walk looks for, by which frames it sees through. */
    enum Kind {
        /** Members, proxies, arrays: java.lang.reflect and Lookup are seen through. */
        REFLECTION,
        /** Class.forName, serialization: object streams are seen through too. */
        STREAM,
        /** Resources: class loaders are seen through too. */
        RESOURCE,
        /** ClassLoader.loadClass: it is also how the JVM links. */
        LOAD
    }

    /** JDK packages that use reflection for programs in ways that native-image does not prepare. */
    private static final String[] RECORDED = {
        "java.beans.", "com.sun.beans.", "javax.xml.", "com.sun.org.apache.", "javax.naming.", "com.sun.jndi.", "com.sun.naming.",
        "javax.management.", "com.sun.jmx.", "java.sql.", "javax.sql.", "java.rmi.", "sun.rmi.", "javax.script.", "java.util.random.",
        "sun.net.www.protocol.http.", "java.net.URLConnection", "java.security.Provider",
        "java.awt.", "sun.awt.", "sun.java2d.", "sun.font.", "javax.imageio.", "com.sun.imageio.", "javax.print.", "sun.print.", "javax.sound.", "com.sun.media.",
    };

    /** JDK packages whose use of the program's classes native-image prepares. */
    private static final String[] PREPARED = {
        "java.lang.", "jdk.internal.", "sun.launcher.", "sun.reflect.annotation.", "java.io.", "sun.invoke.",
        "java.util.ResourceBundle", "java.util.Enum", "sun.util.", "sun.instrument.", "com.sun.proxy.",
    };

    private static final StackWalker WALKER = StackWalker.getInstance(
            Set.of(StackWalker.Option.RETAIN_CLASS_REFERENCE, StackWalker.Option.SHOW_REFLECT_FRAMES));

    /** Reports whether an access to a class is to be recorded. */
    static boolean count(Class<?> target, Kind kind) {
        Class<?> element = target;
        while (element.isArray()) {
            element = element.getComponentType();
        }
        return count(owner(element), caller(kind));
    }

    /** Reports whether a look-up of a class by name is to be recorded. */
    static boolean count(String name, Kind kind) {
        return count(isJdkName(name) ? Owner.JDK : isTracer(name) ? Owner.TRACER : Owner.PROGRAM, caller(kind));
    }

    /** Reports whether a look-up of a resource is to be recorded. */
    static boolean countResource() {
        Class<?> caller = caller(Kind.RESOURCE);
        if (caller == null) {
            return false;
        }
        return switch (owner(caller)) {
            case RUNTIME, TRACER -> false;
            case PROGRAM, JDK -> true; // of the JDK's own, native-image brings few along
        };
    }

    private enum Owner { PROGRAM, JDK, RUNTIME, TRACER }

    private static boolean count(Owner target, Class<?> caller) {
        if (caller == null || target == Owner.TRACER) {
            return false;
        }
        return switch (owner(caller)) {
            case PROGRAM -> !Proxy.isProxyClass(caller); // they look up their own interfaces
            case TRACER -> false;
            case RUNTIME -> target == Owner.PROGRAM;
            case JDK -> target == Owner.PROGRAM ? !startsWith(caller.getName(), PREPARED) : startsWith(caller.getName(), RECORDED);
        };
    }

    private static Owner owner(Class<?> c) {
        ClassLoader loader = c.getClassLoader();
        String name = c.getName();
        if (loader == null || loader == PLATFORM) {
            return isTracer(name) ? Owner.TRACER : Owner.JDK;
        }
        if (name.startsWith("dev.cloudjit.")) {
            return isTracer(name) ? Owner.TRACER : name.startsWith("dev.cloudjit.runtime.") ? Owner.RUNTIME : Owner.PROGRAM;
        }
        String module = c.getModule().getName();
        return module != null && module.startsWith("jdk.") && !Proxy.isProxyClass(c) && c.getModule().getLayer() == ModuleLayer.boot() ? Owner.JDK : Owner.PROGRAM;
    }

    private static final ClassLoader PLATFORM = ClassLoader.getPlatformClassLoader();

    private static boolean isTracer(String name) {
        return name.startsWith("dev.cloudjit.tracer.") && !name.startsWith("dev.cloudjit.tracer.test.");
    }

    private static boolean isJdkName(String name) {
        return name.startsWith("java.") || name.startsWith("jdk.") || name.startsWith("sun.") || name.startsWith("com.sun.proxy.");
    }

    private static boolean startsWith(String name, String[] prefixes) {
        for (String prefix : prefixes) {
            if (name.startsWith(prefix)) {
                return true;
            }
        }
        return false;
    }

    private static Class<?> caller(Kind kind) {
        return WALKER.walk(new Walk(kind));
    }

    /** Finds the class on whose behalf a watched method runs, or null if there is none. */
    private record Walk(Kind kind) implements Function<Stream<StackWalker.StackFrame>, Class<?>> {
        @Override
        public Class<?> apply(Stream<StackWalker.StackFrame> frames) {
            Iterator<StackWalker.StackFrame> iterator = frames.iterator();
            boolean watched = false;
            while (iterator.hasNext()) {
                StackWalker.StackFrame frame = iterator.next();
                Class<?> c = frame.getDeclaringClass();
                String name = c.getName();
                if (isTracer(name)) {
                    continue;
                }
                if (!watched) { // the method that has the hook
                    watched = true;
                    continue;
                }
                if (transparent(c, name, frame.getMethodName())) {
                    continue;
                }
                return switch (kind) {
                    case LOAD -> LoadCalls.madeBy(frame) ? c : null;
                    case STREAM -> name.startsWith("java.io.Object") ? beyondStreams(iterator) : c;
                    default -> c;
                };
            }
            return null;
        }

        /**
         * Serialization runs through writeObject methods of the JDK's classes (collections call
         * the stream again), so what counts is who called the outermost stream.
         */
        private static Class<?> beyondStreams(Iterator<StackWalker.StackFrame> frames) {
            Class<?> found = null;
            boolean inStream = true;
            while (frames.hasNext()) {
                Class<?> c = frames.next().getDeclaringClass();
                if (c.getName().startsWith("java.io.Object")) {
                    inStream = true;
                } else if (inStream) {
                    found = c;
                    inStream = false;
                }
            }
            return found;
        }

        private boolean transparent(Class<?> c, String name, String method) {
            if (c.getClassLoader() != null) {
                return kind == Kind.LOAD && method.equals("loadClass") && ClassLoader.class.isAssignableFrom(c);
            }
            if (name.startsWith("java.lang.reflect.") && !name.startsWith("java.lang.reflect.Proxy") || name.startsWith("jdk.internal.reflect.")
                    || name.startsWith("java.lang.invoke.MethodHandles") || name.startsWith("sun.reflect.")) {
                return !name.startsWith("sun.reflect.annotation.");
            }
            return switch (kind) {
                case REFLECTION -> name.startsWith("java.util.concurrent.atomic.");
                case STREAM -> name.equals("java.lang.Class");
                case RESOURCE -> name.equals("java.lang.Class") || name.equals("java.lang.Module") || name.startsWith("java.lang.ClassLoader")
                        || name.startsWith("jdk.internal.loader.") || name.equals("java.net.URLClassLoader") || name.startsWith("java.security.AccessController");
                case LOAD -> ClassLoader.class.isAssignableFrom(c);
            };
        }
    }
}
