package dev.cloudjit.image;

import java.lang.classfile.ClassFile;
import java.lang.classfile.ClassModel;
import java.lang.classfile.ClassTransform;
import java.lang.classfile.MethodTransform;
import java.lang.classfile.CodeModel;
import java.lang.classfile.MethodModel;
import java.lang.constant.ClassDesc;
import java.lang.constant.ConstantDescs;
import java.lang.constant.MethodTypeDesc;

/**
 * A class in the place of one that cannot be linked: the same super types, fields and methods, so
 * that it can be loaded, named and tested for as the one before, but the bodies are gone, and its
 * initialization throws what linking throws. HotSpot links a class just before it initializes it, so
 * both throw at the same points of a program.
 */
final class StandIn {
    private StandIn() {}

    static byte[] of(byte[] original, LinkageError error) {
        ClassFile files = ClassFile.of(ClassFile.ConstantPoolSharingOption.NEW_POOL);
        ClassModel model = files.parse(original);
        ClassTransform bodies = ClassTransform.transformingMethods(
                m -> m.code().isPresent(),
                MethodTransform.dropping(CodeModel.class::isInstance).andThen(MethodTransform.endHandler(
                        m -> m.withCode(c -> c.aconst_null().athrow()))));
        ClassTransform drop = ClassTransform.dropping(e -> e instanceof MethodModel m && m.methodName().equalsString(ConstantDescs.CLASS_INIT_NAME));
        ClassTransform initializer = ClassTransform.endHandler(c -> c.withMethodBody(
                ConstantDescs.CLASS_INIT_NAME, ConstantDescs.MTD_void, ClassFile.ACC_STATIC, code -> {
                    ClassDesc type = error.getClass().describeConstable().orElseThrow();
                    code.new_(type).dup().loadConstant(String.valueOf(error.getMessage()))
                            .invokespecial(type, ConstantDescs.INIT_NAME, MethodTypeDesc.of(ConstantDescs.CD_void, ConstantDescs.CD_String))
                            .athrow();
                }));
        return files.transformClass(model, drop.andThen(bodies).andThen(initializer));
    }
}
