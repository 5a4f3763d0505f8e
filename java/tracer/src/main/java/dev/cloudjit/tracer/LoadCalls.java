package dev.cloudjit.tracer;

import java.io.IOException;
import java.io.InputStream;
import java.lang.classfile.ClassFile;
import java.lang.classfile.CodeElement;
import java.lang.classfile.Instruction;
import java.lang.classfile.MethodModel;
import java.lang.classfile.instruction.InvokeInstruction;
import java.net.URLClassLoader;
import java.util.HashSet;
import java.util.Set;
import jdk.internal.access.SharedSecrets;
import jdk.internal.reflect.ConstantPool;

/**
 * Tells calls of ClassLoader.loadClass from the JVM's own, which come when it links a class and
 * look the same on the stack: the instruction that runs is another one.
 */
final class LoadCalls {
    private LoadCalls() {}

    static boolean madeBy(StackWalker.StackFrame frame) {
        Class<?> c = frame.getDeclaringClass();
        if (!NAMING.get(c)) {
            return false;
        }
        Set<String> calls = CALLS.get(c);
        return calls.isEmpty() || calls.contains(place(frame.getMethodName(), frame.getDescriptor(), frame.getByteCodeIndex()));
    }

    private static String place(String method, String descriptor, int index) {
        return new StringBuilder(method).append(descriptor).append(index).toString();
    }

    private static boolean isLoad(String name, String descriptor) {
        return name.equals("loadClass") && descriptor.startsWith("(Ljava/lang/String;");
    }

    /** Whether a class names the method at all, which very few do. */
    private static final ClassValue<Boolean> NAMING = new ClassValue<>() {
        @Override
        protected Boolean computeValue(Class<?> c) {
            ConstantPool pool = SharedSecrets.getJavaLangAccess().getConstantPool(c);
            for (int i = pool.getSize() - 1; i > 0; i--) {
                if (pool.getTagAt(i) == ConstantPool.Tag.NAMEANDTYPE) {
                    String[] member = pool.getNameAndTypeRefInfoAt(i);
                    if (isLoad(member[0], member[1])) {
                        return Boolean.TRUE;
                    }
                }
            }
            return Boolean.FALSE;
        }
    };

    /** The places of the calls in a class; empty if its code cannot be read: then all count. */
    private static final ClassValue<Set<String>> CALLS = new ClassValue<>() {
        @Override
        protected Set<String> computeValue(Class<?> c) {
            Set<String> calls = new HashSet<>();
            try (InputStream in = code(c)) {
                if (in != null) {
                    for (MethodModel method : ClassFile.of().parse(in.readAllBytes()).methods()) {
                        collect(method, calls);
                    }
                }
            } catch (IOException | RuntimeException e) {
                return Set.of();
            }
            return calls;
        }
    };

    /** Only the JDK's own loaders are asked: a loader of the program might lock, log or count. */
    private static InputStream code(Class<?> c) {
        ClassLoader loader = c.getClassLoader();
        if (c.isHidden() || loader == null || loader.getClass() != URLClassLoader.class && loader.getClass().getClassLoader() != null) {
            return null;
        }
        return loader.getResourceAsStream(c.getName().replace('.', '/').concat(".class"));
    }

    private static void collect(MethodModel method, Set<String> calls) {
        if (method.code().isEmpty()) {
            return;
        }
        int index = 0;
        for (CodeElement element : method.code().get()) {
            if (element instanceof InvokeInstruction call && isLoad(call.name().stringValue(), call.type().stringValue())) {
                calls.add(place(method.methodName().stringValue(), method.methodType().stringValue(), index));
            }
            if (element instanceof Instruction instruction) {
                index += instruction.sizeInBytes();
            }
        }
    }
}
