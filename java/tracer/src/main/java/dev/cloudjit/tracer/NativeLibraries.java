package dev.cloudjit.tracer;

import java.io.File;
import java.io.IOException;
import java.io.InputStream;
import java.lang.classfile.ClassFile;
import java.lang.classfile.ClassModel;
import java.lang.classfile.FieldModel;
import java.lang.classfile.MethodModel;
import java.lang.constant.ClassDesc;
import java.lang.constant.MethodTypeDesc;
import java.lang.instrument.Instrumentation;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.ConcurrentHashMap;

/**
 * Guesses what native code looks up through JNI, which no Java agent can see: the names of the
 * classes and members are constants in the library. A class whose name stands in it and that
 * exists is recorded, with each member whose name and descriptor stand there too; and so are the
 * members of a class that has native methods there, which gets at itself without its name. Too much for a
 * library that mentions a class for another reason, too little for one that builds names.
 *
 * <p>Of the JDK's own, native-image knows those of java.base. AWT's are read too; they are handed most
 * classes that they look into by code of java.desktop, so all classes of that module that were loaded are held against them.
 */
final class NativeLibraries {
    /** Larger libraries are not read: memory belongs to the program. */
    private static final long MAX_SIZE = 64 << 20;

    private final Trace trace;
    private final Instrumentation instrumentation;
    private final List<Constants> desktop = new ArrayList<>(); // of AWT's libraries
    private final Set<String> held = new HashSet<>(); // classes that were held against all of them
    private final Set<String> waiting = ConcurrentHashMap.newKeySet();
    private final Set<String> done = ConcurrentHashMap.newKeySet();

    NativeLibraries(Trace trace, Instrumentation instrumentation) {
        this.trace = trace;
        this.instrumentation = instrumentation;
    }

    /** The libraries of the module java.desktop. */
    private static final Set<String> DESKTOP = Set.of("awt", "awt_headless", "awt_xawt", "fontmanager", "freetype", "javajpeg", "jawt", "jsound", "lcms", "mlib_image");

    /** Reports whether a library that the JDK loads for itself is one that native-image knows nothing of. */
    static boolean ofDesktop(File library) {
        String name = library.getName();
        return name.startsWith("lib") && name.endsWith(".so") && DESKTOP.contains(name.substring(3, name.length() - 3));
    }

    /** Notes a library; it is read by {@link #scan}, before the next write. */
    void loaded(String path) {
        if (!done.contains(path)) {
            trace.add(waiting, path);
        }
    }

    synchronized void scan() {
        for (String path : waiting) {
            waiting.remove(path);
            if (done.add(path)) {
                try {
                    scan(Path.of(path));
                } catch (IOException | RuntimeException e) {
                    // Not there any more, or none: then there is nothing to learn from it.
                }
            }
        }
        if (!desktop.isEmpty()) {
            try {
                holdDesktop();
            } catch (IOException | RuntimeException e) {
                // Tried again before the next write.
            }
        }
    }

    private void holdDesktop() throws IOException {
        for (Class<?> c : instrumentation.getAllLoadedClasses()) {
            if ("java.desktop".equals(c.getModule().getName()) && !c.isArray() && !c.isHidden() && held.add(c.getName())) {
                byte[] code = code(c.getName().replace('.', '/'));
                for (int i = 0; code != null && i < desktop.size(); i++) {
                    record(ClassFile.of().parse(code), desktop.get(i), false);
                }
            }
        }
    }

    private void scan(Path library) throws IOException {
        if (Files.size(library) > MAX_SIZE) {
            return;
        }
        Constants constants = new Constants(Files.readAllBytes(library));
        if (ofDesktop(library.toFile())) {
            desktop.add(constants);
            held.clear();
        }
        Set<String> owners = new HashSet<>();
        for (String constant : constants.whole) {
            if (constant.indexOf('/') > 0 && isInternalName(constant)) {
                record(constant, constants, true);
            } else if (constant.startsWith("Java_")) {
                String owner = ownerOf(constant);
                if (owner != null) {
                    owners.add(owner);
                }
            }
        }
        for (String owner : owners) {
            record(owner, constants, false);
        }
    }

    private void record(String internalName, Constants constants, boolean named) throws IOException {
        byte[] code = code(internalName);
        if (code != null) {
            record(ClassFile.of().parse(code), constants, named);
        }
    }

    /**
     * Returns the class (as "a/B") of a native method's symbol, such as
     * "Java_a_B_method" or "Java_a_B_method__I" (JNI specification, "Resolving Native Method Names").
     */
    static String ownerOf(String symbol) {
        StringBuilder s = new StringBuilder();
        int method = -1;
        for (int i = "Java_".length(); i < symbol.length(); i++) {
            char c = symbol.charAt(i);
            if (c != '_') {
                s.append(c);
                continue;
            }
            char escape = i + 1 < symbol.length() ? symbol.charAt(i + 1) : 0;
            if (escape == '_') {
                break; // the descriptor of an overloaded method
            } else if (escape == '1') {
                s.append('_');
                i++;
            } else if (escape == '0') {
                if (i + 6 > symbol.length()) {
                    return null;
                }
                try {
                    s.append((char) Integer.parseInt(symbol, i + 2, i + 6, 16));
                } catch (NumberFormatException e) {
                    return null;
                }
                i += 5;
            } else {
                method = s.length();
                s.append('/');
            }
        }
        return method <= 0 || !isInternalName(s.substring(0, method)) ? null : s.substring(0, method);
    }

    /** The zero-terminated strings of a file that could be names or descriptors. */
    private static final class Constants {
        final Set<String> whole = new HashSet<>();
        /** Backwards, in order. */
        private final TreeSet<String> backwards = new TreeSet<>();

        Constants(byte[] file) {
            int start = 0;
            for (int i = 0; i < file.length; i++) {
                byte b = file[i];
                if (b == 0 && i > start && i - start < 1024) {
                    String constant = new String(file, start, i - start, StandardCharsets.ISO_8859_1);
                    if (whole.add(constant)) {
                        backwards.add(reverse(constant));
                    }
                }
                if (b <= ' ' || b == 0x7f) {
                    start = i + 1;
                }
            }
        }

        /** Reports whether a string is there, be it as the end of another: linkers let "([I" stand for "[I" too. */
        boolean contains(String s) {
            String wanted = reverse(s);
            String next = backwards.ceiling(wanted);
            return next != null && next.startsWith(wanted);
        }

        private static String reverse(String s) {
            return new StringBuilder(s).reverse().toString();
        }
    }

    private static boolean isInternalName(String name) {
        for (int i = 0; i < name.length(); i++) {
            char c = name.charAt(i);
            if (c != '/' && !Character.isJavaIdentifierPart(c)) {
                return false;
            }
        }
        return Character.isJavaIdentifierStart(name.charAt(0)) && !name.endsWith("/");
    }

    private static byte[] code(String internalName) throws IOException {
        try (InputStream in = ClassLoader.getSystemResourceAsStream(internalName.concat(".class"))) {
            return in == null ? null : in.readAllBytes();
        }
    }

    /** Records a class, and its members whose names and descriptors are constants; without a name of its own only if it has any. */
    private void record(ClassModel c, Constants constants, boolean byName) {
        String name = c.thisClass().asInternalName().replace('/', '.');
        if (byName) {
            trace.flag(name, Trace.JNI);
        }
        for (FieldModel field : c.fields()) {
            if (constants.contains(field.fieldName().stringValue()) && constants.contains(field.fieldType().stringValue())) {
                trace.flag(name, Trace.JNI);
                trace.field(name, field.fieldName().stringValue(), false);
            }
        }
        boolean thrown = name.endsWith("Exception") || name.endsWith("Error");
        for (MethodModel method : c.methods()) {
            String descriptor = method.methodType().stringValue();
            boolean named = constants.contains(method.methodName().stringValue()) && constants.contains(descriptor);
            // ThrowNew names no constructor.
            boolean thrownNew = byName && thrown && descriptor.equals("(Ljava/lang/String;)V") && method.methodName().equalsString("<init>");
            if (named || thrownNew) {
                trace.flag(name, Trace.JNI);
                trace.method(name, signature(method.methodName().stringValue(), method.methodTypeSymbol()));
            }
        }
    }

    private static String signature(String name, MethodTypeDesc type) {
        StringBuilder s = new StringBuilder(name).append('(');
        for (int i = 0; i < type.parameterCount(); i++) {
            s.append(i > 0 ? "," : "").append(sourceName(type.parameterType(i)));
        }
        return s.append(')').toString();
    }

    private static String sourceName(ClassDesc type) {
        if (type.isArray()) {
            return sourceName(type.componentType()).concat("[]");
        }
        String descriptor = type.descriptorString();
        return type.isPrimitive() ? type.displayName() : descriptor.substring(1, descriptor.length() - 1).replace('/', '.');
    }
}
