package dev.cloudjit.image;

import com.oracle.svm.core.annotate.Substitute;
import com.oracle.svm.core.annotate.TargetClass;
import java.util.function.BooleanSupplier;

/**
 * Netty asks for each task whether its thread is a virtual one, through a method handle, since it also runs on JDKs that have no
 * such threads. HotSpot compiles that to nothing; a binary interprets the handle, which is 3 % of all instructions of a small request.
 */
@TargetClass(className = "io.netty.util.internal.PlatformDependent0", onlyWith = NettySubstitution.Asks.class)
final class NettySubstitution {
    private NettySubstitution() {}

    @Substitute
    static boolean isVirtualThread(Thread thread) {
        return thread != null && thread.isVirtual();
    }

    /** Versions of Netty that ask. */
    static final class Asks implements BooleanSupplier {
        @Override
        public boolean getAsBoolean() {
            try {
                return Class.forName("io.netty.util.internal.PlatformDependent0", false, Asks.class.getClassLoader()).getDeclaredMethod("isVirtualThread", Thread.class)
                        .getReturnType() == boolean.class;
            } catch (ReflectiveOperationException | LinkageError e) {
                return false;
            }
        }
    }
}
