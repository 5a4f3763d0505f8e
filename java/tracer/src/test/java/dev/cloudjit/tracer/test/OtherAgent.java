package dev.cloudjit.tracer.test;

import java.lang.classfile.ClassFile;
import java.lang.instrument.ClassFileTransformer;
import java.lang.instrument.Instrumentation;
import java.security.ProtectionDomain;

/** An agent that programs bring themselves: it rewrites classes of theirs and of the JDK, as profilers do. */
public final class OtherAgent implements ClassFileTransformer {
    private OtherAgent() {}

    public static void premain(String arguments, Instrumentation instrumentation) throws Exception {
        instrumentation.addTransformer(new OtherAgent(), true);
        instrumentation.retransformClasses(Class.class, java.lang.reflect.Method.class, ClassLoader.class);
        System.out.println("other agent");
    }

    @Override
    public byte[] transform(Module module, ClassLoader loader, String name, Class<?> c, ProtectionDomain domain, byte[] code) {
        ClassFile format = ClassFile.of();
        return c == null && loader == null ? null : format.transformClass(format.parse(code), (builder, element) -> builder.with(element));
    }
}
