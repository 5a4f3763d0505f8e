package dev.cloudjit.image;

import java.io.IOException;
import java.lang.classfile.ClassFile;
import java.lang.classfile.ClassTransform;
import java.lang.classfile.CodeBuilder;
import java.lang.classfile.CodeElement;
import java.lang.classfile.CodeModel;
import java.lang.classfile.CodeTransform;
import java.lang.classfile.MethodModel;
import java.lang.classfile.MethodTransform;
import java.lang.classfile.instruction.ConstantInstruction;
import java.lang.classfile.instruction.InvokeDynamicInstruction;
import java.lang.classfile.instruction.InvokeInstruction;
import java.lang.classfile.instruction.ReturnInstruction;
import java.lang.constant.ClassDesc;
import java.lang.constant.ConstantDescs;
import java.lang.constant.MethodTypeDesc;
import java.net.URI;
import java.nio.file.FileSystem;
import java.nio.file.FileSystems;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Consumer;
import java.util.function.Predicate;
import java.util.jar.JarEntry;
import java.util.jar.JarFile;
import java.util.stream.Stream;

/**
 * {@code java ... dev.cloudjit.image.Patcher HOME OUT}: makes, from a builder's own classes, some that answer as HotSpot
 * does ({@code com.oracle.svm.core.jdk.CloudJitAnswers}) or call {@code CloudJitLack} there where a binary cannot. What it leaves below the folder OUT is given
 * to the builder with {@code --patch-module=org.graalvm.nativeimage.builder=OUT}.
 *
 * <p>Nothing of a builder is copied into this project: other versions have other classes, and a point that one of them
 * does not have is left out. It prints a line for each, "patched NAME" or "lacks NAME: why", for who asks what a
 * builder's binaries can be relied on.
 *
 * <p>With {@code --known} it also makes those with which a builder that is known byte for byte makes smaller code (CODE_POINTS).
 */
public final class Patcher {
    private Patcher() {}

    private static final String JDK = "com.oracle.svm.core.jdk.";
    private static final String HOOK = JDK + "CloudJitLack";
    private static final ClassDesc LACK = ClassDesc.of(HOOK);
    private static final String SAME = JDK + "CloudJitAnswers";
    private static final ClassDesc ANSWERS = ClassDesc.of(SAME);
    private static final String IMPLICIT = "com.oracle.svm.core.snippets.ImplicitExceptions";
    private static final String REFLECT = "com.oracle.svm.core.reflect.";
    private static final String THROW = "throwException(Ljdk/graal/compiler/nodes/graphbuilderconf/GraphBuilderContext;Ljdk/vm/ci/meta/ResolvedJavaMethod;"
            + "Ljava/util/function/Supplier;Ljava/lang/Class;Ljava/lang/String;)Z";
    private static final String VERIFY = "getVerificationResult(Ljava/security/Provider;)Ljava/lang/Exception;";

    private static final String CODE = "com.oracle.svm.hosted.code.";

    /**
     * One change of one method.
     *
     * @param name   of what it is for, stable and without blanks
     * @param type   the builder's class
     * @param method name and descriptor
     */
    private record Point(String name, String type, String method, Edit edit) {}

    /** Makes a method's new code; it calls changed for each place that it finds. */
    private interface Edit {
        MethodTransform transform(Runnable changed);
    }

    private static final List<Point> POINTS = List.of(
            // Classes defined at run time, foreign functions, and all else that is not there.
            new Point("unsupported-features", JDK + "UnsupportedFeatureError", "<init>(Ljava/lang/String;)V",
                    before(e -> e instanceof ReturnInstruction, c -> c.aload(1).invokestatic(LACK, "unsupported", MethodTypeDesc.ofDescriptor("(Ljava/lang/String;)V")))),
            // The loader's own findClass runs as on HotSpot: what it defines is a signal, a class that is not there is none.
            new Point("class-loaders", JDK + "Target_java_lang_ClassLoader", "loadClass(Ljava/lang/String;Z)Ljava/lang/Class;",
                    instead(e -> e instanceof InvokeInstruction i && i.name().equalsString("hasBytecodeClasses"), CodeBuilder::iconst_1)),
            new Point("url-protocols", JDK + "JavaNetSubstitutions", "getURLStreamHandler(Ljava/lang/String;)Ljava/net/URLStreamHandler;",
                    body(c -> c.aload(0).invokestatic(LACK, "handler", MethodTypeDesc.ofDescriptor("(Ljava/lang/String;)Ljava/net/URLStreamHandler;")).areturn())),
            // OpenJDK verifies no provider's signature. The builder has two of this class, for two ways to initialize it.
            new Point("security-providers", JDK + "Target_javax_crypto_JceSecurity", VERIFY, body(c -> c.aconst_null().areturn())),
            new Point("security-providers-at-run-time", JDK + "runtimeinit.Target_javax_crypto_JceSecurity", VERIFY, body(c -> c.aconst_null().areturn())),
            new Point("code-source", JDK + "ProtectionDomainSupport", "createExecutableURL()Ljava/net/URL;",
                    body(c -> c.invokestatic(LACK, "codeSource", MethodTypeDesc.ofDescriptor("()Ljava/net/URL;")).areturn())),
            // What is neither in the archive nor in the JDK is not found.
            new Point("absent-resources", JDK + "resources.MissingResourceRegistrationUtils", "reportResourceAccess(Ljava/lang/Module;Ljava/lang/String;)V",
                    first(c -> returnIf(c.aload(0).aload(1).invokestatic(LACK, "absentResource", MethodTypeDesc.ofDescriptor("(Ljava/lang/Module;Ljava/lang/String;)Z"))))),
            new Point("absent-classes", "com.oracle.svm.core.reflect.MissingReflectionRegistrationUtils", "reportClassAccess(Ljava/lang/String;)V",
                    first(c -> returnIf(c.aload(0).invokestatic(LACK, "absentClass", MethodTypeDesc.ofDescriptor("(Ljava/lang/String;)Z"))))),
            // There are rules for words and lines of Thai alone; a binary has those of its default locale.
            breaks("words", "getWordInstance"),
            breaks("lines", "getLineInstance"),
            new Point("calendars", JDK + "Target_java_util_Calendar", "createCalendar(Ljava/util/TimeZone;Ljava/util/Locale;)Ljava/util/Calendar;",
                    body(c -> c.aload(0).aload(1).invokestatic(ANSWERS, "calendar", MethodTypeDesc.ofDescriptor("(Ljava/util/TimeZone;Ljava/util/Locale;)Ljava/util/Calendar;")).areturn())),
            locales("locales", "getAllAvailableLocales", "locales"),
            locales("locales-of-formats", "getAvailableLocales", "localesOfFormats"),
            new Point("enum-messages", JDK + "Target_java_lang_Enum", "valueOf(Ljava/lang/Class;Ljava/lang/String;)Ljava/lang/Enum;",
                    body(c -> c.aload(0).aload(1).invokestatic(ANSWERS, "enumConstant", MethodTypeDesc.ofDescriptor("(Ljava/lang/Class;Ljava/lang/String;)Ljava/lang/Enum;")).areturn())),
            // What a look-up with constant names throws is known when the image is built. The builder adds that to the message.
            new Point("lookup-messages", "com.oracle.svm.hosted.snippets.ReflectionPlugins", THROW,
                    before(e -> e instanceof InvokeInstruction i && i.name().equalsString("throwException"),
                            c -> c.invokestatic(ANSWERS, "plain", MethodTypeDesc.ofDescriptor("(Ljava/lang/String;)Ljava/lang/String;")))),
            new Point("argument-messages", REFLECT + "ReflectionAccessorHolder", "throwIllegalArgumentException(ZLjava/lang/Object;[Ljava/lang/Object;)Ljava/lang/RuntimeException;",
                    body(c -> {
                        ClassDesc exception = ClassDesc.of("java.lang.IllegalArgumentException");
                        c.new_(exception).dup().ldc("argument type mismatch").invokespecial(exception, "<init>", MethodTypeDesc.ofDescriptor("(Ljava/lang/String;)V")).athrow();
                    })),
            new Point("receiver-messages", REFLECT + "SubstrateMethodAccessor", "preInvoke(Ljava/lang/Object;)V",
                    instead(InvokeDynamicInstruction.class::isInstance,
                            c -> c.invokestatic(ANSWERS, "receiver", MethodTypeDesc.ofDescriptor("(Ljava/lang/String;Ljava/lang/String;)Ljava/lang/String;")))),
            new Point("library-messages", JDK + "NativeLibraries", "loadLibraryRelative(Ljava/lang/String;)V",
                    instead(InvokeDynamicInstruction.class::isInstance,
                            c -> c.invokestatic(ANSWERS, "noLibrary", MethodTypeDesc.ofDescriptor("(Ljava/lang/String;Ljava/lang/String;)Ljava/lang/String;")))),
            new Point("file-system-messages", JDK + "resources.NativeImageResourceFileSystemProvider", "getFileSystem(Ljava/net/URI;)Ljava/nio/file/FileSystem;",
                    instead(e -> e instanceof ConstantInstruction i && i.constantValue() instanceof String, CodeBuilder::aconst_null)),
            new Point("cast-messages", IMPLICIT, "createClassCastException(Ljava/lang/Object;Ljava/lang/Object;)Ljava/lang/ClassCastException;",
                    body(c -> castException(c).areturn())),
            new Point("cast-messages-thrown", IMPLICIT, "throwNewClassCastExceptionWithArgs(Ljava/lang/Object;Ljava/lang/Object;)V",
                    body(c -> castException(c).athrow())));

    private static final String BACKEND = "com.oracle.svm.core.graal.amd64.SubstrateAMD64Backend";
    private static final String LOAD = BACKEND + "$SubstrateAMD64MoveFactory$LoadCompressedObjectConstantOp";
    private static final String LOWERING = "com.oracle.svm.core.graal.meta.SubstrateBasicLoweringProvider";
    private static final ClassDesc SMALL = ClassDesc.of(CODE + "CloudJitCode");
    private static final ClassDesc NULLS = ClassDesc.of(CODE + "CloudJitNullChecks");
    private static final String SUITES = "Ljdk/graal/compiler/lir/phases/LIRSuites;";
    private static final String ENCODER = "com.oracle.svm.core.code.CodeInfoEncoder";
    private static final String POSIX = "com.oracle.svm.core.posix.";
    private static final String SIGNAL = "L" + POSIX.replace('.', '/') + "headers/Signal$";
    private static final String HOOK_OF_HANDLER = "com.oracle.svm.core.SubstrateSegfaultHandlerStartupHook";
    private static final String NODES = "Ljdk/graal/compiler/nodes/";
    private static final String HUB = "(" + NODES + "StructuredGraph;" + NODES + "ValueNode;" + NODES + "spi/LoweringTool;" + NODES + "FixedWithNextNode;";
    private static final String EMIT = "Ljdk/graal/compiler/lir/asm/CompilationResultBuilder;Ljdk/graal/compiler/asm/amd64/AMD64MacroAssembler;)V";

    /** Smaller code, of builders that are known byte for byte. */
    private static final List<Point> CODE_POINTS = List.of(
            new Point("object-constants", LOAD, "emitCode(" + EMIT,
                    body(c -> c.aload(0).aload(1).aload(2).invokestatic(SMALL, "load", MethodTypeDesc.ofDescriptor("(Ljdk/graal/compiler/lir/StandardOp$LoadConstantOp;" + EMIT)).return_())),
            new Point("classes-of-objects", LOWERING, "createReadHub" + HUB + ")" + NODES + "ValueNode;", first(c -> {
                var on = c.newLabel();
                ClassDesc self = ClassDesc.of(LOWERING);
                ClassDesc value = ClassDesc.ofDescriptor(NODES + "ValueNode;");
                c.aload(1).aload(2).aload(3).aload(4).aload(0).getfield(self, "hubStamp", ClassDesc.of("jdk.graal.compiler.core.common.type.AbstractObjectStamp"))
                        .invokestatic(SMALL, "hub", MethodTypeDesc.ofDescriptor(HUB + "Ljdk/graal/compiler/core/common/type/Stamp;)" + NODES + "ValueNode;"))
                        .dup().ifnull(on).invokestatic(self, "maybeUncompress", MethodTypeDesc.of(value, value)).areturn().labelBinding(on).pop();
            })),
            // Null checks that cost nothing: the compiler's phase, what the image keeps of it, and the signal's handler.
            new Point("null-checks", "com.oracle.svm.hosted.NativeImageGenerator", "createLIRSuites(Lcom/oracle/svm/hosted/FeatureHandler;Ljdk/graal/compiler/phases/util/Providers;Z)" + SUITES,
                    before(e -> e instanceof ReturnInstruction, c -> c.dup().invokestatic(NULLS, "append", MethodTypeDesc.ofDescriptor("(" + SUITES + ")V")))),
            new Point("null-checks-in-the-image", ENCODER, "addMethod(Lcom/oracle/svm/core/meta/SharedMethod;Ljdk/graal/compiler/code/CompilationResult;II)V",
                    instead(e -> e instanceof InvokeInstruction i && i.name().equalsString("getExceptionHandlers"),
                            c -> c.invokestatic(NULLS, "handlers", MethodTypeDesc.ofDescriptor("(Ljdk/graal/compiler/code/CompilationResult;)Ljava/util/List;")))),
            new Point("null-checks-at-run-time", POSIX + "PosixSubstrateSegfaultHandler", "dispatch(I" + SIGNAL + "siginfo_t;" + SIGNAL + "ucontext_t;)V", first(c ->
                    returnIf(c.iload(0).aload(1).aload(2).invokestatic(ClassDesc.of(POSIX + "CloudJitTraps"), "handled", MethodTypeDesc.ofDescriptor("(I" + SIGNAL + "siginfo_t;" + SIGNAL + "ucontext_t;)Z"))))),
            // No option leaves the handler out.
            new Point("null-checks-always", HOOK_OF_HANDLER, "execute(Z)V",
                    instead(e -> e instanceof InvokeInstruction i && i.name().equalsString("getValue"), c -> c.pop().getstatic(ConstantDescs.CD_Boolean, "TRUE", ConstantDescs.CD_Boolean))));

    private static Point breaks(String of, String method) {
        return new Point("breaks-of-" + of, JDK + "localization.substitutions.Target_java_text_BreakIterator", method + "(Ljava/util/Locale;)Ljava/text/BreakIterator;",
                first(c -> c.aload(0).invokestatic(LACK, "breaks", MethodTypeDesc.ofDescriptor("(Ljava/util/Locale;)V"))));
    }

    private static Point locales(String name, String method, String answer) {
        return new Point(name, JDK + "localization.substitutions.Target_sun_util_locale_provider_LocaleServiceProviderPool_JvmLocaleMode", method + "()[Ljava/util/Locale;",
                body(c -> c.invokestatic(ANSWERS, answer, MethodTypeDesc.ofDescriptor("()[Ljava/util/Locale;")).areturn()));
    }

    private static CodeBuilder castException(CodeBuilder c) {
        ClassDesc exception = ClassDesc.of("java.lang.ClassCastException");
        return c.iconst_0().invokestatic(ClassDesc.of(IMPLICIT), "vmErrorIfImplicitExceptionsAreFatal", MethodTypeDesc.ofDescriptor("(Z)V"))
                .new_(exception).dup().aload(0).aload(1)
                .invokestatic(LACK, "castMessage", MethodTypeDesc.ofDescriptor("(Ljava/lang/Object;Ljava/lang/Object;)Ljava/lang/String;"))
                .invokespecial(exception, "<init>", MethodTypeDesc.ofDescriptor("(Ljava/lang/String;)V"));
    }

    private static void returnIf(CodeBuilder c) {
        var on = c.newLabel();
        c.ifeq(on).return_().labelBinding(on);
    }

    public static void main(String[] args) throws IOException {
        boolean known = args.length == 3 && args[2].equals("--known");
        if (args.length != 2 && !known) {
            System.err.println("usage: patcher HOME OUT [--known]");
            System.exit(2);
        }
        Path out = Path.of(args[1]);
        List<JarFile> jars = builder(Path.of(args[0]));
        try {
            for (Point p : POINTS) {
                String why = patch(p, jars, out);
                System.out.println(why == null ? "patched " + p.name : "lacks " + p.name + ": " + why);
            }
            for (Point p : known && System.getProperty("os.arch").equals("amd64") ? CODE_POINTS : List.<Point>of()) {
                String why = patch(p, jars, out);
                if (why != null) { // one is nothing without the others
                    throw new IllegalStateException(p.name + ": " + why);
                }
                System.out.println("patched " + p.name);
            }
        } finally {
            for (JarFile jar : jars) {
                jar.close();
            }
        }
        addOwn(out);
    }

    /** Adds our own classes to the builder's. They lie in its packages; the inliner does nothing unless it is asked to. */
    private static void addOwn(Path out) throws IOException {
        URI here = URI.create(Patcher.class.getProtectionDomain().getCodeSource().getLocation().toString());
        if (Files.isDirectory(Path.of(here))) {
            addOwn(Path.of(here), out);
            return;
        }
        try (FileSystem jar = FileSystems.newFileSystem(Path.of(here))) {
            addOwn(jar.getPath("/"), out);
        }
    }

    private static void addOwn(Path root, Path out) throws IOException {
        try (Stream<Path> files = Files.walk(root.resolve("com"))) {
            for (Path p : (Iterable<Path>) files.filter(Files::isRegularFile)::iterator) {
                Path to = out.resolve(root.relativize(p).toString());
                Files.createDirectories(to.getParent());
                Files.copy(p, to, StandardCopyOption.REPLACE_EXISTING);
            }
        }
    }

    private static List<JarFile> builder(Path home) throws IOException {
        List<JarFile> jars = new ArrayList<>();
        try (Stream<Path> files = Files.list(home.resolve("lib").resolve("svm").resolve("builder"))) {
            for (Path p : (Iterable<Path>) files.filter(f -> f.toString().endsWith(".jar")).sorted()::iterator) {
                jars.add(new JarFile(p.toFile()));
            }
        }
        return jars;
    }

    /** Returns why a point cannot be had of a builder; null if it was. */
    private static String patch(Point p, List<JarFile> jars, Path out) throws IOException {
        byte[] original = find(file(p.type), jars);
        if (original == null) {
            return "the builder has no class " + p.type;
        }
        Path before = out.resolve(file(p.type));
        if (Files.exists(before)) {
            original = Files.readAllBytes(before); // another point's
        }
        int[] changed = new int[1];
        MethodTransform edit = p.edit.transform(() -> changed[0]++);
        ClassFile files = ClassFile.of();
        byte[] patched = files.transformClass(files.parse(original), ClassTransform.transformingMethods(m -> is(m, p.method), edit));
        if (changed[0] == 0) {
            return p.type + " has no such method, or another one: " + p.method;
        }
        write(out, p.type, patched);
        return null;
    }

    private static byte[] find(String file, List<JarFile> jars) throws IOException {
        for (JarFile jar : jars) {
            JarEntry entry = jar.getJarEntry(file);
            if (entry != null) {
                return jar.getInputStream(entry).readAllBytes();
            }
        }
        return null;
    }

    private static boolean is(MethodModel m, String method) {
        return method.equals(m.methodName().stringValue() + m.methodType().stringValue());
    }

    /** Puts code before each element that is chosen. */
    private static Edit before(Predicate<CodeElement> chosen, Consumer<CodeBuilder> code) {
        return changed -> MethodTransform.transformingCode((c, e) -> {
            if (chosen.test(e)) {
                changed.run();
                code.accept(c);
            }
            c.with(e);
        });
    }

    /** Puts code before a method's. */
    private static Edit first(Consumer<CodeBuilder> code) {
        return changed -> MethodTransform.transformingCode(new CodeTransform() {
            @Override
            public void atStart(CodeBuilder c) {
                changed.run();
                code.accept(c);
            }

            @Override
            public void accept(CodeBuilder c, CodeElement e) {
                c.with(e);
            }
        });
    }

    /** Puts code in the place of each element that is chosen. */
    private static Edit instead(Predicate<CodeElement> chosen, Consumer<CodeBuilder> code) {
        return changed -> MethodTransform.transformingCode((c, e) -> {
            if (chosen.test(e)) {
                changed.run();
                code.accept(c);
            } else {
                c.with(e);
            }
        });
    }

    /** Puts code in the place of a whole method's. */
    private static Edit body(Consumer<CodeBuilder> code) {
        return changed -> MethodTransform.dropping(CodeModel.class::isInstance).andThen(MethodTransform.endHandler(m -> {
            changed.run();
            m.withCode(code);
        }));
    }

    private static void write(Path out, String type, byte[] content) throws IOException {
        Path to = out.resolve(file(type));
        Files.createDirectories(to.getParent());
        Files.write(to, content);
    }

    private static String file(String type) {
        return type.replace('.', '/') + ".class";
    }
}
