package dev.cloudjit.tracer;

import java.io.File;
import java.io.Serializable;
import java.lang.invoke.MethodType;
import java.lang.reflect.Constructor;
import java.lang.reflect.Field;
import java.lang.reflect.Member;
import java.lang.reflect.Method;
import java.lang.reflect.Modifier;
import java.lang.reflect.Proxy;
import java.net.URL;
import java.nio.file.Path;
import java.util.Locale;

/**
 * What the watched methods of the JDK call, on the program's threads. A hook returns at once
 * when it is called from within a hook or for something recorded before; it never throws.
 */
public final class Hooks {
    private Hooks() {}

    private static volatile Trace trace;
    private static volatile TraceFile file;
    private static volatile NativeLibraries libraries;

    /** True for a thread that is inside a hook. */
    private static final ThreadLocal<boolean[]> BUSY = new ThreadLocal<>() {
        @Override
        protected boolean[] initialValue() {
            return new boolean[1];
        }
    };

    static void install(Trace into, TraceFile writer, NativeLibraries scanner) {
        file = writer;
        libraries = scanner;
        trace = into;
    }

    static void ignoreThisThread() {
        BUSY.get()[0] = true;
    }

    /** Ignores this thread until {@link #resume}; returns false if it was ignored already. */
    static boolean pause() {
        return enter() != null;
    }

    static void resume() {
        BUSY.get()[0] = false;
    }

    /** Returns the thread's flag, set, or null where the hook must do nothing. */
    private static boolean[] enter() {
        if (trace == null) {
            return null;
        }
        boolean[] busy = BUSY.get();
        if (busy[0]) {
            return null;
        }
        busy[0] = true;
        return busy;
    }

    /** Class.forName, Lookup.findClass. */
    public static void forName(String name) {
        lookup(name, Callers.Kind.STREAM);
    }

    /** ClassLoader.loadClass. */
    public static void loadClass(String name) {
        lookup(name, Callers.Kind.LOAD);
    }

    private static void lookup(String name, Callers.Kind kind) {
        if (name == null) {
            return;
        }
        boolean[] busy = enter();
        if (busy == null) {
            return;
        }
        try {
            String descriptor = Names.ofLookup(name);
            if (descriptor != null && !trace.types.containsKey(descriptor) && Callers.count(name, kind)) {
                trace.type(descriptor);
            }
        } catch (Throwable t) {
            // A tracer must not be noticed: not even where the stack or the memory is full.
        } finally {
            busy[0] = false;
        }
    }

    /** Any query for the members of a class. */
    public static void members(Class<?> c) {
        if (c != null) {
            once(c, Seen.MEMBERS, c);
        }
    }

    /** Array.newInstance, Class.arrayType. */
    public static void arrayOf(Class<?> component) {
        if (component != null && component != void.class) {
            once(component, Seen.ARRAY, component);
        }
    }

    /** Array.newInstance with many dimensions. */
    public static void arraysOf(Class<?> component, int[] dimensions) {
        if (component == null || dimensions == null || component == void.class) {
            return;
        }
        boolean[] busy = enter();
        if (busy == null) {
            return;
        }
        try {
            String descriptor = Names.descriptor(component);
            if (descriptor != null && Callers.count(component, Callers.Kind.REFLECTION)) {
                for (int i = 1; i <= dimensions.length && i < 256; i++) {
                    trace.type(descriptor.concat("[]".repeat(i)));
                }
            }
        } catch (Throwable t) {
            // See lookup.
        } finally {
            busy[0] = false;
        }
    }

    /** Unsafe.allocateInstance. */
    public static void allocate(Class<?> c) {
        if (c != null) {
            once(c, Seen.UNSAFE, c);
        }
    }

    /** Class.newInstance. */
    public static void create(Class<?> c) {
        if (c != null) {
            once(c, Seen.CREATED, c);
        }
    }

    /** ObjectStreamClass.lookup, ReflectionFactory.newConstructorForSerialization. */
    public static void serialize(Class<?> c) {
        if (c != null) {
            once(c, Seen.SERIALIZABLE, c);
        }
    }

    private static void once(Class<?> c, int what, Class<?> target) {
        boolean[] busy = enter();
        if (busy == null) {
            return;
        }
        try {
            Seen seen = Seen.of(c);
            if (!seen.has(what) && Callers.count(target, what == Seen.SERIALIZABLE ? Callers.Kind.STREAM : Callers.Kind.REFLECTION)) {
                seen.set(what);
                record(c, what);
            }
        } catch (Throwable t) {
            // See lookup.
        } finally {
            busy[0] = false;
        }
    }

    private static void record(Class<?> c, int what) {
        String descriptor = Names.descriptor(c);
        if (descriptor == null) {
            return;
        }
        switch (what) {
            case Seen.ARRAY -> {
                if (!descriptor.startsWith("{")) {
                    trace.type(descriptor.concat("[]"));
                }
            }
            case Seen.UNSAFE -> trace.flag(descriptor, Trace.UNSAFE);
            case Seen.CREATED -> trace.method(descriptor, "<init>()");
            case Seen.SERIALIZABLE -> serializable(c, descriptor);
            default -> trace.type(descriptor);
        }
    }

    private static void serializable(Class<?> c, String descriptor) {
        if (c.isArray()) {
            trace.type(descriptor);
            return;
        }
        if (!Serializable.class.isAssignableFrom(c)) {
            return; // a stream asks for supertypes too
        }
        trace.flag(descriptor, Trace.SERIALIZABLE);
        if (descriptor.startsWith(Names.LAMBDA)) { // is written as what it captures
            trace.flag("java.lang.invoke.SerializedLambda", Trace.SERIALIZABLE);
        }
    }

    /** A method was looked up or is invoked. */
    public static void found(Method method) {
        member(method, false);
    }

    /** A constructor was looked up or is invoked. */
    public static void found(Constructor<?> constructor) {
        member(constructor, false);
    }

    /** A field was looked up or is read. */
    public static void found(Field field) {
        member(field, false);
    }

    /** A field is written. */
    public static void written(Field field) {
        member(field, field != null && Modifier.isFinal(field.getModifiers()));
    }

    private static void member(Member member, boolean writtenFinal) {
        if (member == null) {
            return;
        }
        boolean[] busy = enter();
        if (busy == null) {
            return;
        }
        try {
            Class<?> c = member.getDeclaringClass();
            Seen seen = Seen.of(c);
            if ((writtenFinal || !seen.has(member)) && Callers.count(c, Callers.Kind.REFLECTION)) {
                seen.add(member);
                record(c, member, writtenFinal);
            }
        } catch (Throwable t) {
            // See lookup.
        } finally {
            busy[0] = false;
        }
    }

    private static void record(Class<?> c, Member member, boolean writtenFinal) {
        String descriptor = Names.descriptor(c);
        if (descriptor == null) {
            return;
        }
        if (descriptor.startsWith(Names.LAMBDA) && !(member instanceof Method)) { // an image's lambda has others
            trace.type(descriptor);
            return;
        }
        switch (member) {
            case Field f -> trace.field(descriptor, f.getName(), writtenFinal);
            case Method m -> trace.method(descriptor, Names.signature(m.getName(), m.getParameterTypes()));
            case Constructor<?> k -> trace.method(descriptor, Names.signature("<init>", k.getParameterTypes()));
            default -> { }
        }
    }

    /** Lookup.findVirtual, findStatic, findSpecial: the method may be declared by any supertype. */
    public static void foundMethod(Class<?> c, String name, MethodType type) {
        boolean[] busy = enter();
        if (busy == null) {
            return;
        }
        try {
            if (Callers.count(c, Callers.Kind.REFLECTION)) {
                Method method = Members.method(c, name, type.parameterArray());
                if (method != null) {
                    record(method.getDeclaringClass(), method, false);
                }
            }
        } catch (Throwable t) {
            // See lookup.
        } finally {
            busy[0] = false;
        }
    }

    /** Lookup.findConstructor. */
    public static void foundConstructor(Class<?> c, MethodType type) {
        boolean[] busy = enter();
        if (busy == null) {
            return;
        }
        try {
            String descriptor = Names.descriptor(c);
            if (descriptor != null && Callers.count(c, Callers.Kind.REFLECTION)) {
                if (c.isArray()) {
                    trace.type(descriptor);
                } else {
                    trace.method(descriptor, Names.signature("<init>", type.parameterArray()));
                }
            }
        } catch (Throwable t) {
            // See lookup.
        } finally {
            busy[0] = false;
        }
    }

    /** Lookup.findGetter, findVarHandle and their like. */
    public static void foundField(Class<?> c, String name) {
        boolean[] busy = enter();
        if (busy == null) {
            return;
        }
        try {
            if (Callers.count(c, Callers.Kind.REFLECTION)) {
                Field field = Members.field(c, name);
                if (field != null) {
                    record(field.getDeclaringClass(), field, false);
                }
            }
        } catch (Throwable t) {
            // See lookup.
        } finally {
            busy[0] = false;
        }
    }

    /** Proxy.newProxyInstance, Proxy.getProxyClass. */
    public static void proxy(Class<?>[] interfaces) {
        if (interfaces == null || interfaces.length == 0) {
            return;
        }
        boolean[] busy = enter();
        if (busy == null) {
            return;
        }
        try {
            Class<?>[] copy = interfaces.clone();
            for (Class<?> type : copy) {
                if (type == null || !type.isInterface() || type.isHidden()) {
                    return;
                }
            }
            String descriptor = Names.proxy(copy);
            if (!trace.types.containsKey(descriptor)) {
                for (Class<?> type : copy) { // one of the program's is enough
                    if (Callers.count(type, Callers.Kind.REFLECTION)) {
                        trace.type(descriptor);
                        return;
                    }
                }
            }
        } catch (Throwable t) {
            // See lookup.
        } finally {
            busy[0] = false;
        }
    }

    /** InvocationHandler.invokeDefault: the JDK asks the proxy's class for its Lookup, by reflection. */
    public static void invokesDefault(Object proxy) {
        boolean[] busy = enter();
        if (busy == null) {
            return;
        }
        try {
            Class<?> c = proxy.getClass();
            Seen seen = Seen.of(c);
            if (!seen.has(Seen.DEFAULTS) && Proxy.isProxyClass(c)) {
                seen.set(Seen.DEFAULTS);
                trace.method(Names.descriptor(c), "proxyClassLookup(java.lang.invoke.MethodHandles$Lookup)");
            }
        } catch (Throwable t) {
            // See lookup.
        } finally {
            busy[0] = false;
        }
    }

    /** Class.getResource and getResourceAsStream: relative to the class's package. */
    public static void resource(Class<?> c, String name) {
        if (name != null) {
            Module module = c.getModule();
            resource(module.isNamed() ? module.getName() : null, Resources.absolute(c, name));
        }
    }

    /** ClassLoader.getResource, getResources, getResourceAsStream. */
    public static void resource(String name) {
        if (name != null) {
            resource((String) null, name);
        }
    }

    /** Module.getResourceAsStream. */
    public static void resource(Module module, String name) {
        if (name != null) {
            resource(module.isNamed() ? module.getName() : null, name.startsWith("/") ? name.substring(1) : name);
        }
    }

    private static void resource(String module, String name) {
        boolean[] busy = enter();
        if (busy == null) {
            return;
        }
        try {
            String glob = Resources.glob(name);
            if (glob != null) {
                String entry = Trace.resourceEntry(module, glob);
                if (!trace.resources.contains(entry) && Callers.countResource()) {
                    trace.add(trace.resources, entry);
                }
            }
        } catch (Throwable t) {
            // See lookup.
        } finally {
            busy[0] = false;
        }
    }

    /** A class loader found a resource: if it is in a module of the JDK, it must be said which. */
    public static void foundResource(String name, URL url) {
        if (url != null && "jrt".equals(url.getProtocol())) {
            String path = url.getPath();
            int end = path.indexOf('/', 1);
            if (end > 0) {
                resource(path.substring(1, end), name);
            }
        }
    }

    /** Files.newDirectoryStream: of a folder in an archive of the class path, which is looked for as a resource is. */
    public static void folder(Path dir) {
        if (dir == null || !dir.getClass().getName().equals("jdk.nio.zipfs.ZipPath")) { // another one's methods are the program's
            return;
        }
        try {
            String archives = File.pathSeparator.concat(System.getProperty("java.class.path")).concat(File.pathSeparator);
            if (archives.contains(File.pathSeparator.concat(dir.getFileSystem().toString()).concat(File.pathSeparator))) {
                resource((String) null, dir.toAbsolutePath().normalize().toString());
            }
        } catch (Throwable t) {
            // See lookup.
        }
    }

    /** ResourceBundle.getBundle. */
    public static void bundle(String name) {
        if (name == null || name.isEmpty()) {
            return;
        }
        boolean[] busy = enter();
        if (busy == null) {
            return;
        }
        try {
            if (Callers.count(name, Callers.Kind.REFLECTION)) {
                trace.bundle(name);
            }
        } catch (Throwable t) {
            // See lookup.
        } finally {
            busy[0] = false;
        }
    }

    /** LocaleData.getBundle, whoever needs it: a class of the JDK's stands for the data of a locale. */
    public static void localeData(Locale locale) {
        if (locale == null || locale.getLanguage().isEmpty()) {
            return;
        }
        boolean[] busy = enter();
        if (busy == null) {
            return;
        }
        try {
            String tag = locale.stripExtensions().toLanguageTag();
            if (!tag.equals("en") && !tag.equals("en-US") && !tag.equals("und")) { // which every image has
                trace.type("sun.text.resources.cldr.ext.FormatData_".concat(tag.replace('-', '_')));
            }
        } catch (Throwable t) {
            // See lookup.
        } finally {
            busy[0] = false;
        }
    }

    /** URL.getURLStreamHandler, whoever makes the URL: of those that cost something, the JDK's handler stands for the protocol. */
    public static void protocol(String protocol) {
        if (protocol == null || !protocol.equals("http") && !protocol.equals("https")) {
            return;
        }
        boolean[] busy = enter();
        if (busy == null) {
            return;
        }
        try {
            trace.type("sun.net.www.protocol.".concat(protocol).concat(".Handler"));
        } catch (Throwable t) {
            // See lookup.
        } finally {
            busy[0] = false;
        }
    }

    /** A native library is loaded for a class: what it may look up is read out of it, later. */
    public static void library(Class<?> c, File library) {
        if (library == null || (c == null || c.getClassLoader() == null) && !NativeLibraries.ofDesktop(library)) {
            return;
        }
        boolean[] busy = enter();
        if (busy == null) {
            return;
        }
        try {
            libraries.loaded(library.getPath());
        } catch (Throwable t) {
            // See lookup.
        } finally {
            busy[0] = false;
        }
    }

    /** Runtime.halt: nothing else will run. */
    public static void halt() {
        flush();
    }

    /** Writes what is new, now: when this returns, it is in the file. */
    static void flush() {
        boolean[] busy = enter();
        if (busy == null) {
            return;
        }
        try {
            libraries.scan();
            file.flush();
        } catch (Throwable t) {
            // See lookup.
        } finally {
            busy[0] = false;
        }
    }
}
