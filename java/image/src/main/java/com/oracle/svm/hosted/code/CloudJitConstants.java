package com.oracle.svm.hosted.code;

import com.oracle.svm.core.ReservedRegisters;
import com.oracle.svm.core.graal.amd64.SubstrateAMD64Backend;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import jdk.graal.compiler.asm.amd64.AMD64Assembler.ConditionFlag;
import jdk.graal.compiler.asm.amd64.AMD64BaseAssembler.OperandSize;
import jdk.graal.compiler.core.common.LIRKind;
import jdk.graal.compiler.core.common.Stride;
import jdk.graal.compiler.core.common.calc.Condition;
import jdk.graal.compiler.core.common.cfg.BasicBlock;
import jdk.graal.compiler.core.common.type.CompressibleConstant;
import jdk.graal.compiler.lir.InstructionValueConsumer;
import jdk.graal.compiler.lir.LIR;
import jdk.graal.compiler.lir.LIRInstruction;
import jdk.graal.compiler.lir.LIRValueUtil;
import jdk.graal.compiler.lir.LabelRef;
import jdk.graal.compiler.lir.StandardOp;
import jdk.graal.compiler.lir.amd64.AMD64AddressValue;
import jdk.graal.compiler.lir.amd64.AMD64ControlFlow;
import jdk.graal.compiler.lir.gen.LIRGenerationResult;
import jdk.graal.compiler.lir.phases.PreAllocationOptimizationPhase;
import jdk.vm.ci.code.TargetDescription;
import jdk.vm.ci.meta.AllocatableValue;
import jdk.vm.ci.meta.Constant;
import jdk.vm.ci.meta.JavaConstant;
import jdk.vm.ci.meta.VMConstant;
import jdk.vm.ci.meta.Value;

/**
 * Objects of the image that need no register: a comparison has the object's place in itself, and an address of a field the
 * place of the field, behind the heap's base. The compiler loads each object into a register first.
 */
final class CloudJitConstants extends PreAllocationOptimizationPhase {
    @Override
    protected void run(TargetDescription target, LIRGenerationResult result, PreAllocationOptimizationContext context) {
        LIR lir = result.getLIR();
        Map<Value, CompressibleConstant> loaded = new HashMap<>();
        Set<Value> twice = new HashSet<>();
        for (BasicBlock<?> block : lir.getControlFlowGraph().getBlocks()) {
            for (LIRInstruction op : lir.getLIRforBlock(block)) {
                if (op instanceof StandardOp.LoadConstantOp load && LIRValueUtil.isVariable(load.getResult()) && load.getConstant() instanceof CompressibleConstant object
                        && load.getConstant() instanceof VMConstant && !JavaConstant.isNull(load.getConstant()) && loaded.put(load.getResult(), object) != null) {
                    twice.add(load.getResult());
                }
            }
        }
        loaded.keySet().removeAll(twice);
        if (loaded.isEmpty()) {
            return;
        }
        Set<Value> used = new HashSet<>();
        InstructionValueConsumer use = (op, v, mode, flags) -> {
            used.add(v);
            if (v.getValueKind() instanceof LIRKind kind && kind.isDerivedReference()) {
                used.add(kind.getDerivedReferenceBase());
            }
        };
        for (BasicBlock<?> block : lir.getControlFlowGraph().getBlocks()) {
            List<LIRInstruction> code = lir.getLIRforBlock(block);
            for (int i = 0; i < code.size(); i++) {
                LIRInstruction op = code.get(i);
                if (op instanceof AMD64ControlFlow.CmpBranchOp branch) {
                    op = compare(branch, loaded);
                    code.set(i, op);
                }
                address(op, loaded);
                op.visitEachInput(use);
                op.visitEachAlive(use);
                op.visitEachTemp(use);
                op.visitEachState(use);
            }
        }
        loaded.keySet().removeIf(v -> used.contains(v));
        if (!loaded.isEmpty()) {
            for (BasicBlock<?> block : lir.getControlFlowGraph().getBlocks()) {
                lir.getLIRforBlock(block).removeIf(op -> op instanceof StandardOp.LoadConstantOp load && loaded.containsKey(load.getResult()));
            }
        }
    }

    private static LIRInstruction compare(AMD64ControlFlow.CmpBranchOp branch, Map<Value, CompressibleConstant> loaded) {
        Object condition = CloudJitOps.get(branch, "condition");
        Value x = (Value) CloudJitOps.get(branch, "x");
        Value y = (Value) CloudJitOps.get(branch, "y");
        CompressibleConstant object = loaded.get(y);
        if (object == null) {
            object = loaded.get(x);
            x = y;
        }
        if (object == null || !object.isCompressed() || loaded.containsKey(x) || !LIRValueUtil.isVariable(x) || CloudJitOps.get(branch, "size") != OperandSize.QWORD
                || condition != ConditionFlag.Equal && condition != ConditionFlag.NotEqual || CloudJitOps.get(branch, "state") != null) {
            return branch;
        }
        return new AMD64ControlFlow.CmpConstBranchOp(OperandSize.QWORD, x, (VMConstant) object, null, condition == ConditionFlag.Equal ? Condition.EQ : Condition.NE,
                (LabelRef) CloudJitOps.get(branch, "trueDestination"), (LabelRef) CloudJitOps.get(branch, "falseDestination"), (double) CloudJitOps.get(branch, "trueDestinationProbability"));
    }

    private static void address(LIRInstruction op, Map<Value, CompressibleConstant> loaded) {
        String field = CloudJitOps.address(op);
        if (field == null) {
            return;
        }
        AMD64AddressValue address = (AMD64AddressValue) CloudJitOps.get(op, field);
        CompressibleConstant object = loaded.get(address.getBase());
        if (object == null || object.isCompressed() || CloudJitOps.get(address, "displacementAnnotation") != null) {
            return;
        }
        AllocatableValue base = ReservedRegisters.singleton().getHeapBaseRegister().asValue(address.getBase().getValueKind());
        CloudJitOps.set(op, field, new AMD64AddressValue(address.getValueKind(), base, address.getIndex(), (Stride) CloudJitOps.get(address, "stride"),
                (int) CloudJitOps.get(address, "displacement"), SubstrateAMD64Backend.addressDisplacementAnnotation((JavaConstant) object.compress())));
    }
}
