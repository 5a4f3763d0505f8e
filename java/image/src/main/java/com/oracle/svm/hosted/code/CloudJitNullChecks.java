package com.oracle.svm.hosted.code;

import com.oracle.svm.core.ReservedRegisters;
import com.oracle.svm.core.SubstrateOptions;
import com.oracle.svm.core.util.VMError;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashSet;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.atomic.LongAdder;
import jdk.graal.compiler.asm.Label;
import jdk.graal.compiler.asm.amd64.AMD64Assembler.ConditionFlag;
import jdk.graal.compiler.asm.amd64.AMD64BaseAssembler.OperandSize;
import jdk.graal.compiler.code.CompilationResult;
import jdk.graal.compiler.core.common.LIRKind;
import jdk.graal.compiler.core.common.Stride;
import jdk.graal.compiler.core.common.cfg.BasicBlock;
import jdk.graal.compiler.lir.LIR;
import jdk.graal.compiler.lir.LIRFrameState;
import jdk.graal.compiler.lir.LIRInstruction;
import jdk.graal.compiler.lir.LabelRef;
import jdk.graal.compiler.lir.StandardOp;
import jdk.graal.compiler.lir.amd64.AMD64AddressValue;
import jdk.graal.compiler.lir.amd64.AMD64Call;
import jdk.graal.compiler.lir.amd64.AMD64ControlFlow;
import jdk.graal.compiler.lir.amd64.AMD64Move;
import jdk.graal.compiler.lir.gen.LIRGenerationResult;
import jdk.graal.compiler.lir.phases.LIRSuites;
import jdk.graal.compiler.lir.phases.PostAllocationOptimizationPhase;
import jdk.vm.ci.code.DebugInfo;
import jdk.vm.ci.code.Register;
import jdk.vm.ci.code.TargetDescription;
import jdk.vm.ci.code.ValueUtil;
import jdk.vm.ci.code.site.Call;
import jdk.vm.ci.code.site.ExceptionHandler;
import jdk.vm.ci.code.site.ImplicitExceptionDispatch;
import jdk.vm.ci.code.site.Infopoint;
import jdk.vm.ci.meta.ResolvedJavaMethod;
import jdk.vm.ci.meta.Value;

/**
 * Null checks that cost nothing: where the object is read right behind its check, the check goes, and the read itself is the
 * check, as in HotSpot's code. What lies below the heap's base can not be read ({@code -H:+UseNullRegion}), so that the kernel sends a signal, and the signal's
 * handler ({@code CloudJitTraps}) goes on where the exception is made. Only checks that throw a {@link NullPointerException} of the JVM's own are removed.
 *
 * <p>It works on what is emitted next, when each value has its register. Nothing that is needed where the exception is
 * made may be written between the check and the read.
 */
public final class CloudJitNullChecks extends PostAllocationOptimizationPhase {
    /** What can be read behind null, in bytes. The heap's base has 512 KiB (a chunk) of it. */
    private static final int LIMIT = 64 << 10;

    private static final Register BASE = ReservedRegisters.singleton().getHeapBaseRegister();

    /** Where to go on, by what the compilation says of a read. */
    private static final Map<DebugInfo, Label> HANDLERS = Collections.synchronizedMap(new IdentityHashMap<>());
    private static final LongAdder checks = new LongAdder();
    private static final LongAdder removed = new LongAdder();

    /** Called by the builder for the phases of all compilations. */
    public static void append(LIRSuites suites) {
        suites.getPreAllocationOptimizationStage().prependPhase(new CloudJitConstants());
        if (SubstrateOptions.SpawnIsolates.getValue() && SubstrateOptions.UseNullRegion.getValue()) {
            suites.getPostAllocationOptimizationStage().appendPhase(new CloudJitNullChecks());
        }
    }

    static String said() {
        return removed.sum() + " of " + checks.sum() + " null checks are reads";
    }

    @Override
    protected void run(TargetDescription target, LIRGenerationResult result, PostAllocationOptimizationContext context) {
        LIR lir = result.getLIR();
        for (int id : lir.getBlocks()) {
            if (LIR.isBlockDeleted(id)) {
                continue;
            }
            BasicBlock<?> block = lir.getBlockById(id);
            List<LIRInstruction> code = lir.getLIRforBlock(block);
            if (!code.isEmpty() && code.getLast() instanceof AMD64ControlFlow.BranchOp branch) {
                remove(lir, block, code, branch);
            }
        }
    }

    private static void remove(LIR lir, BasicBlock<?> block, List<LIRInstruction> code, AMD64ControlFlow.BranchOp branch) {
        Check check = Check.of(branch);
        if (check == null || block.getSuccessorCount() != 2) {
            return;
        }
        BasicBlock<?> thrown = check.isNull.getTargetBlock();
        BasicBlock<?> next = check.isNotNull.getTargetBlock();
        if (thrown == next || thrown.getPredecessorCount() != 1 || next.getPredecessorCount() != 1) {
            return;
        }
        Set<Object> needed = neededToThrow(lir.getLIRforBlock(thrown));
        if (needed == null) {
            return;
        }
        checks.increment();
        LIRInstruction read = read(lir.getLIRforBlock(next), check, needed);
        if (read != null) {
            CloudJitOps.set(read, "state", new Trap(check.isNull));
            code.set(code.size() - 1, new StandardOp.JumpOp(check.isNotNull));
            removed.increment();
        }
    }

    /** All places, those among them that are read behind the call which makes an exception. */
    private static final Set<Object> ALL = new HashSet<>();

    /** Returns the registers and the words of the frame that are read where an exception is made; null if none is made here. */
    private static Set<Object> neededToThrow(List<LIRInstruction> code) {
        Set<Object> needed = new HashSet<>();
        for (LIRInstruction op : code) {
            op.visitEachInput((i, v, mode, flags) -> add(needed, v));
            op.visitEachAlive((i, v, mode, flags) -> add(needed, v));
            op.visitEachState((i, v, mode, flags) -> add(needed, v));
            if (op instanceof AMD64Call.CallOp) {
                if (!(op instanceof AMD64Call.MethodCallOp) || !(CloudJitOps.get(op, "callTarget") instanceof ResolvedJavaMethod m)
                        || !m.getDeclaringClass().toJavaName().equals("com.oracle.svm.core.snippets.ImplicitExceptions") || !m.getName().endsWith("NullPointerException")) {
                    return null;
                }
                return m.getName().startsWith("throw") && LIR.getExceptionEdge(op) == null ? needed : ALL;
            }
        }
        return null;
    }

    private static void add(Set<Object> places, Value v) {
        if (ValueUtil.isRegister(v)) {
            places.add(ValueUtil.asRegister(v));
        } else if (ValueUtil.isStackSlot(v)) {
            Word first = Word.of(v);
            int last = ValueUtil.asStackSlot(v).getRawOffset() + v.getPlatformKind().getSizeInBytes() - 1 >> 3;
            for (int i = first.number; i <= last; i++) {
                places.add(new Word(i, first.ofCaller));
            }
        }
    }

    /** Returns the register or the word of the frame that is written; null for all else. */
    private static Object place(Value v) {
        if (v == null) {
            return null;
        }
        if (ValueUtil.isRegister(v)) {
            return ValueUtil.asRegister(v);
        }
        return ValueUtil.isStackSlot(v) && v.getPlatformKind().getSizeInBytes() <= Long.BYTES ? Word.of(v) : null;
    }

    /** Eight bytes of the frame. */
    private record Word(int number, boolean ofCaller) {
        static Word of(Value slot) {
            return new Word(ValueUtil.asStackSlot(slot).getRawOffset() >> 3, ValueUtil.asStackSlot(slot).getRawAddFrameSize());
        }
    }

    /** Returns the first instruction behind a check that reads the object or writes it, if nothing forbids to rely on it. */
    private static LIRInstruction read(List<LIRInstruction> code, Check check, Set<Object> needed) {
        Register compressed = check.compressed ? check.object : null;
        Register object = check.compressed ? null : check.object;
        for (LIRInstruction op : code.subList(1, code.size())) {
            String field = CloudJitOps.address(op);
            AMD64AddressValue address = field == null ? null : (AMD64AddressValue) CloudJitOps.get(op, field);
            if (address != null && (int) CloudJitOps.get(address, "displacement") >= 0 && (int) CloudJitOps.get(address, "displacement") < LIMIT) {
                boolean plain = address.getIndex().equals(Value.ILLEGAL);
                if (object != null && plain && is(address.getBase(), object)
                        || compressed != null && !plain && is(address.getBase(), BASE) && is(address.getIndex(), compressed) && CloudJitOps.get(address, "stride") == Stride.S1) {
                    Register before = CloudJitOps.writtenBefore(op);
                    return before != null && (needed == ALL || needed.contains(before)) ? null : op;
                }
            }
            // No other memory is read before: it might be the same object by another register, whose read says nothing.
            Object written = place(CloudJitOps.plainMove(op));
            if (written == null || needed == ALL || needed.contains(written)) {
                return null;
            }
            boolean uncompressed = compressed != null && op instanceof AMD64Move.UncompressPointerOp u && is(u.getInput(), compressed);
            if (written.equals(compressed)) {
                compressed = null;
            }
            if (written.equals(object)) {
                object = null;
            }
            if (uncompressed) {
                object = (Register) written;
            }
            if (compressed == null && object == null) {
                return null;
            }
        }
        return null;
    }

    private static boolean is(Value v, Register r) {
        return ValueUtil.isRegister(v) && ValueUtil.asRegister(v).equals(r);
    }

    /** A branch on whether an object is null. */
    private record Check(Register object, boolean compressed, LabelRef isNull, LabelRef isNotNull) {
        static Check of(AMD64ControlFlow.BranchOp branch) {
            if (!(branch instanceof AMD64ControlFlow.TestBranchOp || branch instanceof AMD64ControlFlow.CmpBranchOp)) {
                return null;
            }
            Object condition = CloudJitOps.get(branch, "condition");
            boolean equal = condition == ConditionFlag.Equal;
            if (!equal && condition != ConditionFlag.NotEqual || CloudJitOps.get(branch, "size") != OperandSize.QWORD || CloudJitOps.get(branch, "state") != null) {
                return null;
            }
            Value x = (Value) CloudJitOps.get(branch, "x");
            Value y = (Value) CloudJitOps.get(branch, "y");
            boolean compressed = branch instanceof AMD64ControlFlow.TestBranchOp;
            if (!ValueUtil.isRegister(x) || !ValueUtil.isRegister(y) || !(x.getValueKind() instanceof LIRKind kind) || kind.isValue() || kind.isUnknownReference() || kind.isDerivedReference()
                    || !ValueUtil.asRegister(y).equals(compressed ? ValueUtil.asRegister(x) : BASE) || kind.isCompressedReference(0) != compressed) {
                return null;
            }
            LabelRef yes = (LabelRef) CloudJitOps.get(branch, "trueDestination");
            LabelRef no = (LabelRef) CloudJitOps.get(branch, "falseDestination");
            return new Check(ValueUtil.asRegister(x), compressed, equal ? yes : no, equal ? no : yes);
        }
    }

    /** What a read has, so that the compilation says where to go on if it is of null. */
    private static final class Trap extends LIRFrameState {
        private final LabelRef handler;

        Trap(LabelRef handler) {
            super(null, null, null, false);
            this.handler = handler;
        }

        @Override
        public DebugInfo debugInfo() {
            DebugInfo info = new DebugInfo(null);
            HANDLERS.put(info, handler.label());
            return info;
        }
    }

    /** Returns where the code of a method goes on for exceptions: those of its calls, as before, and those of its reads of null. */
    public static List<ExceptionHandler> handlers(CompilationResult result) {
        List<ExceptionHandler> all = new ArrayList<>(result.getExceptionHandlers());
        Set<Integer> calls = new HashSet<>();
        for (Infopoint i : result.getInfopoints()) {
            if (i instanceof Call call) {
                calls.add(call.pcOffset + call.size);
            }
        }
        for (Infopoint i : result.getInfopoints()) {
            Label handler = i instanceof ImplicitExceptionDispatch ? HANDLERS.remove(i.debugInfo) : null;
            if (handler != null) {
                VMError.guarantee(!calls.contains(i.pcOffset), "CloudJitNullChecks: a read of null is where a call returns to");
                all.add(new ExceptionHandler(i.pcOffset, handler.position()));
            }
        }
        return all;
    }
}
