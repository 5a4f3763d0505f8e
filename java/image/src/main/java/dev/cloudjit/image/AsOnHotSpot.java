package dev.cloudjit.image;

import java.lang.classfile.ClassFile;
import java.lang.classfile.ClassTransform;
import java.lang.classfile.CodeTransform;
import java.lang.classfile.MethodTransform;
import java.lang.classfile.Opcode;
import java.lang.classfile.instruction.FieldInstruction;
import java.util.Map;

/**
 * Classes of libraries that find out that they are in a binary, and then refuse what they do on HotSpot with an error of their own.
 * A program may catch it and answer otherwise, and nothing says so. They go on as on HotSpot instead: what no binary can do
 * ends it with a signal, and names what that was.
 */
final class AsOnHotSpot {
    private AsOnHotSpot() {}

    /**
     * A test for a binary in one method of a class.
     *
     * @param method its name
     * @param field  the static boolean field that it reads
     */
    private record Test(String method, String field) {}

    private static final Map<String, Test> TESTS = Map.of(
            // Spring's class generator. What was generated when the application was processed ahead of time is looked for before that.
            "org.springframework.cglib.core.AbstractClassGenerator", new Test("generate", "inNativeImage"));

    /** Whether there is something to change in a class. */
    static boolean concerns(String name) {
        return TESTS.containsKey(name);
    }

    /** Returns the changed class; null if it has no such test. */
    static byte[] of(String name, byte[] original) {
        Test test = TESTS.get(name);
        boolean[] found = {false};
        CodeTransform never = (builder, element) -> {
            if (element instanceof FieldInstruction f && f.opcode() == Opcode.GETSTATIC && f.name().equalsString(test.field)) {
                found[0] = true;
                builder.iconst_0();
            } else {
                builder.with(element);
            }
        };
        ClassFile files = ClassFile.of();
        byte[] changed = files.transformClass(files.parse(original),
                ClassTransform.transformingMethods(m -> m.methodName().equalsString(test.method), MethodTransform.transformingCode(never)));
        return found[0] ? changed : null;
    }
}
