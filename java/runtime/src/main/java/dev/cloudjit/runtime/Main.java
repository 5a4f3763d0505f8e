package dev.cloudjit.runtime;

import com.amazonaws.services.lambda.runtime.Context;
import com.amazonaws.services.lambda.runtime.LambdaRuntimeInternal;
import dev.cloudjit.runtime.api.Body;
import dev.cloudjit.runtime.api.Invocation;
import dev.cloudjit.runtime.api.RuntimeApi;
import java.io.IOError;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.Map;

/**
 * Runs the handler that the argument, or else the environment variable _HANDLER, names.
 *
 * <p>Exit codes: 1 the handler's initialization failed, or an invocation left the process unusable (out of memory...);
 * 2 the Runtime API cannot be reached any more.
 */
public final class Main {
    /** Where the X-Ray SDK looks for the trace of the invocation. */
    private static final String TRACE_PROPERTY = "com.amazonaws.xray.traceHeader";

    /**
     * A tracer that is present leaves here, as an object of the system properties, what writes its trace (Runnable). It is
     * taken out before the function runs: some methods of Properties fail on what is no string.
     */
    private static final String TRACER_FLUSH = "dev.cloudjit.tracer.flush";

    /**
     * What a process does that will be saved and copied. The agent of such a process sets it; others, native binaries
     * among them, know nothing of it.
     */
    static volatile Copying copying;

    private final RuntimeApi api;
    private final Handler handler;
    private InvocationContext.Function function = new InvocationContext.Function();
    private final Body answer = new Body();
    private final Runnable flushTrace;

    private Main(RuntimeApi api, Handler handler, Runnable flushTrace) {
        this.api = api;
        this.handler = handler;
        this.flushTrace = flushTrace;
    }

    public static void main(String[] args) {
        String name = args.length > 0 ? args[0] : System.getenv("_HANDLER");
        String endpoint = System.getenv("AWS_LAMBDA_RUNTIME_API");
        if (name == null || endpoint == null) {
            System.err.println("The environment variables _HANDLER and AWS_LAMBDA_RUNTIME_API must be set.");
            System.exit(2);
        }
        Object flush = System.getProperties().remove(TRACER_FLUSH);
        FunctionLogger.takeOverStandardStreams();
        RuntimeApi api = new RuntimeApi(endpoint);
        // exit, not return: threads that the function left behind must not keep a dead worker.
        System.exit(run(api, name, flush instanceof Runnable ? (Runnable) flush : null));
    }

    private static int run(RuntimeApi api, String name, Runnable flushTrace) {
        try {
            Handler handler;
            try {
                handler = Handlers.load(name);
            } catch (Fault fault) {
                FunctionLogger.INSTANCE.logFailure(fault.report());
                api.failInit(Fault.kind(fault), utf8(Fault.document(fault)));
                return 1;
            }
            try {
                Runtime.getRuntime().addShutdownHook(new End(api));
            } catch (IllegalStateException e) {
                return 1; // it was told to end before it was there
            }
            Main main = new Main(api, handler, flushTrace);
            Invocation invocation = api.next();
            while (invocation != null) {
                invocation = invocation.checkpoint ? main.checkpoint() : main.serve(invocation);
            }
            return 1;
        } catch (IOException e) {
            System.err.println("The Runtime API failed: " + e.getMessage());
            return 2;
        }
    }

    /** Gets ready to be saved; in a copy, makes it another one than its siblings. Null: the process must not go on. */
    private Invocation checkpoint() throws IOException {
        try {
            if (copying != null) {
                copying.before(api, handler);
            }
            Map<String, String> changed = api.restored();
            if (copying != null) {
                copying.after(changed);
                function = new InvocationContext.Function();
            }
        } catch (Fault fault) {
            FunctionLogger.INSTANCE.logFailure(fault.report());
            api.failRestore(Fault.kind(fault), utf8(Fault.document(fault)));
            return null;
        }
        return api.next();
    }

    /** Serves one invocation and returns the next; null when the process must not run another. */
    private Invocation serve(Invocation invocation) throws IOException {
        if (invocation.traceId != null) {
            System.setProperty(TRACE_PROPERTY, invocation.traceId);
        } else {
            System.clearProperty(TRACE_PROPERTY);
        }
        answer.reset();
        Throwable failure = null;
        try {
            call(invocation);
        } catch (Throwable t) {
            failure = t;
        }
        // A handler that left its thread interrupted must not disturb the exchange.
        Thread.interrupted();
        if (flushTrace != null) {
            flushTrace.run(); // before the answer: a worker may be killed as soon as that is there
        }
        if (failure == null) {
            return api.respond(invocation.requestId, answer);
        }
        return fail(invocation, failure) ? api.next() : null;
    }

    private void call(Invocation invocation) throws Throwable {
        Context context = new InvocationContext(function, invocation);
        FunctionLogger.INSTANCE.begin(invocation.requestId, invocation.tenantId);
        if (LambdaRuntimeInternal.getUseLog4jAppender()) {
            Log4j.put("AWSRequestId", invocation.requestId);
        }
        handler.handle(invocation.payload, context, answer);
    }

    private boolean fail(Invocation invocation, Throwable failure) throws IOException {
        Fault.filter(failure);
        Fault fault = Fault.of(failure, false);
        // Logged first: the platform may close the invocation's log with its answer.
        FunctionLogger.INSTANCE.logFailure(fault.report());
        api.fail(invocation.requestId, Fault.kind(failure), Fault.cause(failure), utf8(Fault.document(failure)));
        return !(fault.fatal || failure instanceof VirtualMachineError || failure instanceof IOError);
    }

    private static byte[] utf8(String s) {
        return s.getBytes(StandardCharsets.UTF_8);
    }
}
