package com.oracle.svm.hosted.code;

import java.lang.reflect.Field;
import java.lang.reflect.Modifier;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import jdk.graal.compiler.lir.LIRInstruction;
import jdk.graal.compiler.lir.StandardOp;
import jdk.graal.compiler.lir.amd64.AMD64AddressValue;
import jdk.graal.compiler.lir.amd64.AMD64Binary;
import jdk.graal.compiler.lir.amd64.AMD64ControlFlow;
import jdk.graal.compiler.lir.amd64.AMD64Move;
import jdk.vm.ci.code.Register;
import jdk.vm.ci.code.ValueUtil;
import jdk.vm.ci.meta.Value;

/**
 * What the compiler's instructions are made of. Their fields are not for others: the builder gets {@code --add-opens} for
 * {@code jdk.graal.compiler.lir.amd64}.
 */
final class CloudJitOps {
    private CloudJitOps() {}

    private static final Map<Class<?>, Map<String, Field>> FIELDS = new ConcurrentHashMap<>();

    private static Map<String, Field> fields(Object op) {
        return FIELDS.computeIfAbsent(op.getClass(), type -> {
            Map<String, Field> all = new LinkedHashMap<>();
            for (Class<?> c = type; c != LIRInstruction.class && c != Object.class; c = c.getSuperclass()) {
                for (Field f : c.getDeclaredFields()) {
                    if (!Modifier.isStatic(f.getModifiers()) && f.trySetAccessible()) {
                        all.putIfAbsent(f.getName(), f);
                    }
                }
            }
            return all;
        });
    }

    static Object get(Object op, String name) {
        try {
            return fields(op).get(name).get(op);
        } catch (IllegalAccessException e) {
            throw new AssertionError(e);
        }
    }

    static void set(Object op, String name, Object value) {
        try {
            fields(op).get(name).set(op, value);
        } catch (IllegalAccessException e) {
            throw new AssertionError(e);
        }
    }

    /** Returns the name of the field with an instruction's only address, if it is one that is said of reads of null; else null. */
    static String address(LIRInstruction op) {
        if (!(op instanceof StandardOp.ImplicitNullCheck || op instanceof AMD64ControlFlow.CmpConstBranchOp) || get(op, "state") != null) {
            return null;
        }
        for (String name : fields(op).keySet()) {
            if (get(op, name) instanceof AMD64AddressValue) {
                return name;
            }
        }
        return null;
    }

    /** Returns the register that an instruction writes before it reads; null if there is none. */
    static Register writtenBefore(LIRInstruction op) {
        Value result = op instanceof AMD64Binary.MemoryTwoOp ? (Value) get(op, "result") : null;
        return result == null || result.equals(get(op, "x")) ? null : ValueUtil.asRegister(result);
    }

    /** Returns what an instruction writes that does nothing else, and reads nothing but registers and its frame; null for all others. */
    static Value plainMove(LIRInstruction op) {
        if (op instanceof StandardOp.ValueMoveOp m) {
            return m.getResult();
        }
        if (op instanceof StandardOp.LoadConstantOp m) {
            return m.getResult();
        }
        if (op instanceof AMD64Move.UncompressPointerOp m) {
            return m.getResult();
        }
        return op instanceof AMD64Move.LeaOp ? (Value) get(op, "result") : null;
    }
}
