package com.oracle.svm.hosted.code;

import com.oracle.svm.core.ReservedRegisters;
import com.oracle.svm.core.config.ConfigurationValues;
import com.oracle.svm.core.config.ObjectLayout;
import com.oracle.svm.core.graal.amd64.SubstrateAMD64Backend;
import com.oracle.svm.core.graal.nodes.FloatingWordCastNode;
import com.oracle.svm.core.heap.Heap;
import com.oracle.svm.core.heap.ReferenceAccess;
import jdk.graal.compiler.asm.amd64.AMD64Address;
import jdk.graal.compiler.asm.amd64.AMD64MacroAssembler;
import jdk.graal.compiler.core.common.Stride;
import jdk.graal.compiler.core.common.memory.BarrierType;
import jdk.graal.compiler.core.common.type.CompressibleConstant;
import jdk.graal.compiler.core.common.type.Stamp;
import jdk.graal.compiler.core.common.type.StampFactory;
import jdk.graal.compiler.lir.StandardOp.LoadConstantOp;
import jdk.graal.compiler.lir.asm.CompilationResultBuilder;
import jdk.graal.compiler.nodes.ConstantNode;
import jdk.graal.compiler.nodes.FixedWithNextNode;
import jdk.graal.compiler.nodes.NamedLocationIdentity;
import jdk.graal.compiler.nodes.StructuredGraph;
import jdk.graal.compiler.nodes.ValueNode;
import jdk.graal.compiler.nodes.calc.AndNode;
import jdk.graal.compiler.nodes.calc.ZeroExtendNode;
import jdk.graal.compiler.nodes.memory.ReadNode;
import jdk.graal.compiler.nodes.memory.address.AddressNode;
import jdk.graal.compiler.nodes.memory.address.OffsetAddressNode;
import jdk.graal.compiler.nodes.spi.LoweringTool;
import jdk.vm.ci.code.Register;
import jdk.vm.ci.code.ValueUtil;
import jdk.vm.ci.meta.JavaConstant;
import jdk.vm.ci.meta.JavaKind;

/**
 * Smaller code for the same: what an image holds, classes among it, lies in the first 2 GiB behind the heap's base, or the builder
 * makes none ("Image heap size is limited to 2 GByte"). The community's builder has 64 bits for each reference to it all the same. A request of
 * a server runs through more code than a processor has nearby, so that it takes less time where the code is smaller. The patcher puts the calls of this class
 * into the builder's own (dev.cloudjit.image.Patcher).
 */
public final class CloudJitCode {
    private CloudJitCode() {}

    /** Any number that the builder writes an object's place over. */
    private static final int PATCHED = 0xDEADDEAD;

    /** Loads an object of the image: 5 or 7 bytes instead of 10 or 14. */
    public static void load(LoadConstantOp op, CompilationResultBuilder crb, AMD64MacroAssembler masm) {
        Register to = ValueUtil.asRegister(op.getResult());
        CompressibleConstant object = (CompressibleConstant) op.getConstant();
        if (object.isCompressed()) {
            crb.recordInlineDataInCode(object);
            masm.movl(to, PATCHED, true); // the upper half becomes zero
            return;
        }
        masm.leaq(to, new AMD64Address(ReservedRegisters.singleton().getHeapBaseRegister(), Register.None, Stride.S1,
                0, SubstrateAMD64Backend.addressDisplacementAnnotation((JavaConstant) object.compress())));
    }

    /** Reads an object's class, of which the upper half is zero; null where the builder is to do it. */
    public static ValueNode hub(StructuredGraph graph, ValueNode object, LoweringTool tool, FixedWithNextNode after, Stamp stamp) {
        ObjectLayout layout = ConfigurationValues.getObjectLayout();
        long reserved = Heap.getHeap().getObjectHeader().getReservedHubBitsMask();
        if (tool.getLoweringStage() != LoweringTool.StandardLoweringStage.LOW_TIER || object.isConstant() || layout.getHubSize() != 8 || layout.getReferenceSize() != 8
                || reserved != layout.getAlignment() - 1 || ReferenceAccess.singleton().getCompressionShift() != 0) {
            return null;
        }
        AddressNode address = graph.unique(new OffsetAddressNode(object, ConstantNode.forIntegerKind(JavaKind.Long, layout.getHubOffset(), graph)));
        ReadNode read = graph.add(new ReadNode(address, NamedLocationIdentity.FINAL_LOCATION, null, StampFactory.forUnsignedInteger(32), null, BarrierType.NONE));
        graph.addAfterFixed(after, read);
        ValueNode word = graph.unique(new ZeroExtendNode(read, 64));
        word = graph.unique(new AndNode(word, ConstantNode.forLong(~reserved, graph)));
        return graph.unique(new FloatingWordCastNode(stamp, word));
    }
}
