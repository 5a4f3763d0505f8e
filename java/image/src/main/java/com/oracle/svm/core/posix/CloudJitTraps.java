package com.oracle.svm.core.posix;

import com.oracle.svm.core.NeverInline;
import com.oracle.svm.core.RegisterDumper;
import com.oracle.svm.core.SubstrateSegfaultHandler;
import com.oracle.svm.core.Uninterruptible;
import com.oracle.svm.core.code.CodeInfo;
import com.oracle.svm.core.code.CodeInfoAccess;
import com.oracle.svm.core.code.CodeInfoTable;
import com.oracle.svm.core.code.SimpleCodeInfoQueryResult;
import com.oracle.svm.core.graal.snippets.CEntryPointSnippets;
import com.oracle.svm.core.posix.headers.Signal;
import org.graalvm.nativeimage.Isolate;
import org.graalvm.nativeimage.StackValue;
import org.graalvm.nativeimage.c.function.CodePointer;
import org.graalvm.word.Pointer;
import org.graalvm.word.PointerBase;

/**
 * What a binary does at the signal that a read of null gives, where no check is before it (com.oracle.svm.hosted.code.CloudJitNullChecks): it goes on where the
 * exception is made. Any other signal is the builder's matter, as before.
 */
final class CloudJitTraps {
    private CloudJitTraps() {}

    /** SIGSEGV, the size of a chunk of the heap, and the place of RIP among the registers (Linux, amd64: asm/signal.h, sys/ucontext.h). */
    private static final int SEGV = 11;

    private static final int NULL_REGION = 512 << 10;
    private static final int RIP = 16 * Long.BYTES;

    /** Reports whether the signal was that of a null check. The thread then goes on in the handler of it. */
    @Uninterruptible(reason = "A signal's handler, which may not meet a safepoint.")
    static boolean handled(int signal, Signal.siginfo_t info, Signal.ucontext_t context) {
        Isolate isolate = SubstrateSegfaultHandler.SingleIsolateSegfaultSetup.singleton().getIsolate();
        if (signal != SEGV || isolate.rawValue() <= 0 || RegisterDumper.singleton().getHeapBase(context).rawValue() != isolate.rawValue()) {
            return false; // not in Java code
        }
        long behindNull = info.si_addr().rawValue() - isolate.rawValue();
        if (behindNull < 0 || behindNull >= NULL_REGION) {
            return false;
        }
        CEntryPointSnippets.initBaseRegisters(isolate);
        return goOn(context);
    }

    @Uninterruptible(reason = "A signal's handler, which may not meet a safepoint.")
    @NeverInline("Nothing of it may be done before the heap's base is there.")
    private static boolean goOn(Signal.ucontext_t context) {
        CodePointer at = (CodePointer) RegisterDumper.singleton().getIP(context);
        CodeInfo code = CodeInfoTable.getFirstImageCodeInfo();
        if (!CodeInfoAccess.contains(code, at)) {
            return false;
        }
        SimpleCodeInfoQueryResult found = StackValue.get(SimpleCodeInfoQueryResult.class);
        CodeInfoAccess.lookupCodeInfo(code, at, found);
        if (found.getExceptionOffset() == 0) {
            return false;
        }
        ((Pointer) (PointerBase) context.uc_mcontext_linux_amd64_gregs()).writeLong(RIP, at.rawValue() + found.getExceptionOffset());
        return true;
    }
}
