package dev.cloudjit.tracer;

import java.lang.classfile.ClassBuilder;
import java.lang.classfile.ClassElement;
import java.lang.classfile.ClassFile;
import java.lang.classfile.ClassTransform;
import java.lang.classfile.CodeBuilder;
import java.lang.classfile.CodeElement;
import java.lang.classfile.CodeTransform;
import java.lang.classfile.MethodModel;
import java.lang.classfile.MethodTransform;
import java.lang.classfile.Opcode;
import java.lang.classfile.TypeKind;
import java.lang.classfile.instruction.ReturnInstruction;
import java.lang.constant.ClassDesc;
import java.lang.constant.ConstantDescs;
import java.lang.constant.MethodTypeDesc;
import java.lang.instrument.ClassFileTransformer;
import java.lang.reflect.AccessFlag;
import java.security.ProtectionDomain;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;

/** Puts the calls of the hooks into the watched methods. */
final class Weaver implements ClassFileTransformer {
    private static final ClassDesc HOOKS = ClassDesc.of("dev.cloudjit.tracer.Hooks");

    private final ClassFile format = ClassFile.of(ClassFile.DebugElementsOption.DROP_DEBUG);
    private final Map<String, List<Points.Point>> points;
    /** What went wrong, for the log; the class is left as it is then. */
    final List<Throwable> failures = Collections.synchronizedList(new ArrayList<>());

    Weaver(Map<String, List<Points.Point>> points) {
        this.points = points;
    }

    @Override
    public byte[] transform(Module module, ClassLoader loader, String name, Class<?> c, ProtectionDomain domain, byte[] original) {
        if (c == null || loader != null) { // a class that is being loaded, which is none of ours
            return null;
        }
        List<Points.Point> mine = points.get(c.getName());
        if (mine == null) {
            return null;
        }
        boolean tracing = Hooks.pause();
        try {
            return format.transformClass(format.parse(original), new Methods(mine));
        } catch (Throwable t) {
            failures.add(t);
            return null;
        } finally {
            if (tracing) {
                Hooks.resume();
            }
        }
    }

    private record Methods(List<Points.Point> points) implements ClassTransform {
        @Override
        public void accept(ClassBuilder builder, ClassElement element) {
            List<Points.Point> mine = new ArrayList<>();
            if (element instanceof MethodModel method) {
                String key = method.methodName().stringValue().concat(method.methodType().stringValue());
                for (Points.Point point : points) {
                    if (point.method().equals(key)) {
                        mine.add(point);
                    }
                }
                if (!mine.isEmpty()) {
                    builder.transformMethod(method, MethodTransform.transformingCode(new Code(method, mine)));
                    return;
                }
            }
            builder.with(element);
        }
    }

    private record Code(MethodModel method, List<Points.Point> points) implements CodeTransform {
        @Override
        public void atStart(CodeBuilder builder) {
            for (Points.Point point : points) {
                if (!point.atExit()) {
                    call(builder, point);
                }
            }
        }

        @Override
        public void accept(CodeBuilder builder, CodeElement element) {
            if (element instanceof ReturnInstruction instruction && instruction.opcode() == Opcode.ARETURN) {
                for (Points.Point point : points) {
                    if (point.atExit()) {
                        call(builder, point);
                    }
                }
            }
            builder.with(element);
        }

        private void call(CodeBuilder builder, Points.Point point) {
            MethodTypeDesc type = method.methodTypeSymbol();
            List<ClassDesc> parameters = new ArrayList<>();
            if (point.arguments().indexOf('r') >= 0) {
                builder.dup();
            }
            for (int i = 0; i < point.arguments().length(); i++) {
                switch (point.arguments().charAt(i)) {
                    case 't' -> {
                        builder.aload(builder.receiverSlot());
                        parameters.add(owner());
                    }
                    case 'r' -> {
                        parameters.add(type.returnType());
                        if (i > 0) { // the result lies below the arguments before it, of which there is one
                            builder.swap();
                        }
                    }
                    default -> {
                        int index = point.arguments().charAt(i) - '0';
                        ClassDesc parameter = type.parameterType(index);
                        builder.loadLocal(TypeKind.from(parameter), builder.parameterSlot(index));
                        parameters.add(parameter);
                    }
                }
            }
            builder.invokestatic(HOOKS, point.hook(), MethodTypeDesc.of(ConstantDescs.CD_void, parameters));
        }

        private ClassDesc owner() {
            if (method.flags().has(AccessFlag.STATIC)) {
                throw new IllegalStateException("no receiver");
            }
            return method.parent().orElseThrow().thisClass().asSymbol();
        }
    }
}
