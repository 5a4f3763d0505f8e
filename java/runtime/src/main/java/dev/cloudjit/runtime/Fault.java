package dev.cloudjit.runtime;

import dev.cloudjit.runtime.json.JsonText;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.util.Collections;
import java.util.IdentityHashMap;
import java.util.LinkedHashSet;
import java.util.Set;

/** A handler that cannot be used, with the words of the published client; and the documents that report failures. */
final class Fault extends RuntimeException {
    private static final long serialVersionUID = 1;

    /** Frames from here down are not the function's. */
    private static final String OWN = "dev.cloudjit.runtime.";

    /** A header longer than this is refused by common HTTP servers. */
    private static final int MAX_CAUSE = 64 << 10;

    final String text;
    /** Class name of what was thrown; null if nothing was. */
    final String exception;

    final String trace;
    /** The worker is of no more use: initialization failed, and it ends. */
    final boolean fatal;

    private Fault(String text, String exception, String trace, boolean fatal) {
        super(text, null, false, false);
        this.text = text;
        this.exception = exception;
        this.trace = trace;
        this.fatal = fatal;
    }

    static Fault of(String text) {
        return new Fault(text, null, null, false);
    }

    static Fault of(Throwable t, boolean fatal) {
        return t instanceof Fault ? (Fault) t : new Fault(messageOf(t), t.getClass().getName(), trace(t), fatal);
    }

    static Fault classNotFound(Throwable t, String className) {
        return new Fault("Class not found: " + className, t.getClass().getName(), trace(t), false);
    }

    static Fault loading(Throwable t, String className) {
        String detail = t.getMessage() == null ? "" : ": " + t.getMessage();
        return new Fault("Error loading class " + className + detail, t.getClass().getName(), trace(t), true);
    }

    static Fault loadingMethod(Throwable t, String text) {
        return new Fault(text, t.getClass().getName(), trace(t), false);
    }

    /** What the log shows. */
    String report() {
        if (exception == null && trace == null) {
            return text + "\n";
        }
        return text + ": " + (exception == null ? "" : exception) + "\n" + (trace == null ? "" : trace) + "\n";
    }

    /** The header Lambda-Runtime-Function-Error-Type. */
    static String kind(Throwable t) {
        return t instanceof Fault ? "Runtime.BadFunctionCode" : "Runtime.UserException";
    }

    /** The document {errorMessage, errorType, stackTrace}. */
    static String document(Throwable t) {
        if (t instanceof Fault) {
            Fault fault = (Fault) t;
            return new JsonText().member("errorMessage", fault.text).member("errorType", fault.exception).end();
        }
        StackTraceElement[] frames = t.getStackTrace();
        String[] lines = new String[frames.length];
        for (int i = 0; i < frames.length; i++) {
            lines[i] = frames[i].toString();
        }
        return new JsonText().member("errorMessage", messageOf(t)).member("errorType", t.getClass().getName())
                .member("stackTrace", lines).end();
    }

    /** The header Lambda-Runtime-Function-XRay-Error-Cause; null: there is none to send. */
    static String cause(Throwable t) {
        if (t instanceof Fault) {
            return null;
        }
        StackTraceElement[] frames = t.getStackTrace();
        JsonText[] stack = new JsonText[frames.length];
        Set<String> paths = new LinkedHashSet<>();
        for (int i = 0; i < frames.length; i++) {
            String path = fileOf(frames[i]);
            paths.add(path);
            stack[i] = new JsonText().member("label", frames[i].getMethodName()).member("path", path)
                    .number("line", frames[i].getLineNumber());
        }
        JsonText exception = new JsonText().member("message", t.getMessage()).member("type", t.getClass().getName())
                .member("stack", stack);
        String cause = new JsonText().member("working_directory", System.getProperty("user.dir"))
                .member("exceptions", new JsonText[] {exception})
                .member("paths", paths.toArray(new String[0])).end();
        return cause.length() < MAX_CAUSE ? cause : null;
    }

    /** Removes this client's frames, here and in all causes. */
    static <T extends Throwable> T filter(T t) {
        filter(t, Collections.newSetFromMap(new IdentityHashMap<>()));
        return t;
    }

    private static void filter(Throwable t, Set<Throwable> seen) {
        if (t == null || !seen.add(t)) {
            return;
        }
        StackTraceElement[] frames = t.getStackTrace();
        for (int i = 0; i < frames.length; i++) {
            if (frames[i].getClassName().startsWith(OWN)) {
                StackTraceElement[] kept = new StackTraceElement[i];
                System.arraycopy(frames, 0, kept, 0, i);
                t.setStackTrace(kept);
                break;
            }
        }
        filter(t.getCause(), seen);
        for (Throwable suppressed : t.getSuppressed()) {
            filter(suppressed, seen);
        }
    }

    private static String messageOf(Throwable t) {
        String message = t.getLocalizedMessage();
        return message == null ? t.getClass().getName() : message;
    }

    private static String trace(Throwable t) {
        StringWriter text = new StringWriter();
        filter(t).printStackTrace(new PrintWriter(text));
        return text.toString();
    }

    private static String fileOf(StackTraceElement frame) {
        if (frame.getFileName() != null) {
            return frame.getFileName();
        }
        String name = frame.getClassName();
        return name.substring(name.lastIndexOf('.') + 1) + ".java";
    }
}
