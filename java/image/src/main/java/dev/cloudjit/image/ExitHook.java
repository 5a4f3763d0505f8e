package dev.cloudjit.image;

import com.oracle.svm.core.jdk.RuntimeSupport;
import jdk.internal.access.SharedSecrets;

/** What {@link ExitFeature} puts into a binary: it registers itself at the start, and acts at the end. */
final class ExitHook implements RuntimeSupport.Hook, Runnable {
    /** Before ApplicationShutdownHooks, which has 1. The JDK uses 0 when it reads a password from a console. */
    private static final int FIRST_AT_EXIT = 0;

    /** The exit code of a binary that lacks metadata, as GraalVM has it. */
    private static final int MISSING_METADATA = 172;

    @Override
    public void execute(boolean isFirstIsolate) {
        SharedSecrets.getJavaLangAccess().registerShutdownHook(FIRST_AT_EXIT, false, this);
    }

    /** Runs on the thread that called System.exit, and looks who did. */
    @Override
    public void run() {
        for (StackTraceElement frame : new Throwable().getStackTrace()) {
            if (frame.getClassName().equals("com.oracle.svm.core.MissingRegistrationUtils")) {
                System.out.flush();
                Runtime.getRuntime().halt(MISSING_METADATA);
            }
        }
    }
}
