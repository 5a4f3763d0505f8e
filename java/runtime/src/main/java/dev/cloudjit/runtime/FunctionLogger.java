package dev.cloudjit.runtime;

import com.amazonaws.services.lambda.runtime.LambdaLogger;
import com.amazonaws.services.lambda.runtime.logging.LogFormat;
import com.amazonaws.services.lambda.runtime.logging.LogLevel;
import dev.cloudjit.runtime.json.JsonText;
import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.OutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.time.Instant;
import java.time.temporal.ChronoUnit;

/** The logger of Context and LambdaRuntime: to standard output, in the format and from the level the function chose. */
public final class FunctionLogger implements LambdaLogger {
    public static final FunctionLogger INSTANCE = new FunctionLogger();

    private final boolean json = "JSON".equalsIgnoreCase(System.getenv("AWS_LAMBDA_LOG_FORMAT"));
    private final LogLevel minimum;
    private volatile Invoked invoked = new Invoked(null, null);

    private FunctionLogger() {
        String level = System.getenv("AWS_LAMBDA_LOG_LEVEL");
        LogLevel wanted = LogLevel.UNDEFINED;
        try {
            wanted = level == null ? wanted : LogLevel.fromString(level);
        } catch (IllegalArgumentException e) {
            System.err.println(e.getMessage());
        }
        minimum = wanted;
    }

    /**
     * Standard output and error in UTF-8 whatever the locale, and without a buffer: what is printed reaches the log at
     * once and is not lost when the process is killed. A line that is printed by one call is one write.
     */
    static void takeOverStandardStreams() {
        System.setOut(stream(FileDescriptor.out));
        System.setErr(stream(FileDescriptor.err));
    }

    private static PrintStream stream(FileDescriptor descriptor) {
        OutputStream file = new FileOutputStream(descriptor);
        return new PrintStream(file, false, StandardCharsets.UTF_8);
    }

    /** What structured lines say of the invocation they belong to. */
    void begin(String requestId, String tenantId) {
        if (json) {
            invoked = new Invoked(requestId, tenantId);
        }
    }

    /** What the client itself has to report of a failure. */
    void logFailure(String message) {
        log(message, json ? LogLevel.ERROR : LogLevel.UNDEFINED);
    }

    public LogFormat format() {
        return json ? LogFormat.JSON : LogFormat.TEXT;
    }

    @Override
    public void log(String message) {
        log(message, LogLevel.UNDEFINED);
    }

    @Override
    public void log(byte[] message) {
        log(message, LogLevel.UNDEFINED);
    }

    @Override
    public void log(String message, LogLevel level) {
        if (!isEnabled(level)) {
            return;
        }
        if (json) {
            write(structured(message, level));
        } else if (level == LogLevel.UNDEFINED) {
            write(String.valueOf(message));
        } else {
            write("[" + level + "] " + message);
        }
    }

    @Override
    public void log(byte[] message, LogLevel level) {
        if (isEnabled(level)) {
            write(message == null ? "null".getBytes(StandardCharsets.UTF_8) : message);
        }
    }

    private boolean isEnabled(LogLevel level) {
        return level == LogLevel.UNDEFINED || level.ordinal() >= minimum.ordinal();
    }

    private String structured(String message, LogLevel level) {
        Invoked now = invoked;
        return new JsonText()
                .member("timestamp", Instant.now().truncatedTo(ChronoUnit.MILLIS).toString())
                .member("message", message)
                .member("level", level == LogLevel.UNDEFINED ? "UNDEFINED" : level.toString())
                .member("AWSRequestId", now.requestId)
                .member("tenantId", now.tenantId)
                .end() + "\n";
    }

    private static void write(String text) {
        write(text.getBytes(StandardCharsets.UTF_8));
    }

    /** Goes through System.out, which the function may have replaced. */
    private static void write(byte[] text) {
        System.out.write(text, 0, text.length);
    }

    private static final class Invoked {
        private final String requestId;
        private final String tenantId;

        Invoked(String requestId, String tenantId) {
            this.requestId = requestId;
            this.tenantId = tenantId;
        }
    }
}
