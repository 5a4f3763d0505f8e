package dev.cloudjit.runtime;

import com.amazonaws.services.lambda.runtime.ClientContext;
import com.amazonaws.services.lambda.runtime.CognitoIdentity;
import com.amazonaws.services.lambda.runtime.Context;
import com.amazonaws.services.lambda.runtime.LambdaLogger;
import dev.cloudjit.runtime.api.Invocation;

/** What the handler is told of its invocation. */
final class InvocationContext implements Context {
    private final Function function;
    private final Invocation invocation;
    private final ClientContext client;
    private final CognitoIdentity identity;

    /** Throws if the client context or the identity is not JSON. */
    InvocationContext(Function function, Invocation invocation) {
        this.function = function;
        this.invocation = invocation;
        this.client = isEmpty(invocation.clientContext) ? null : Caller.clientContext(invocation.clientContext);
        this.identity = isEmpty(invocation.cognitoIdentity) ? null : Caller.identity(invocation.cognitoIdentity);
    }

    @Override
    public String getAwsRequestId() {
        return invocation.requestId;
    }

    @Override
    public String getLogGroupName() {
        return function.logGroup;
    }

    @Override
    public String getLogStreamName() {
        return function.logStream;
    }

    @Override
    public String getFunctionName() {
        return function.name;
    }

    @Override
    public String getFunctionVersion() {
        return function.version;
    }

    @Override
    public String getInvokedFunctionArn() {
        return invocation.functionArn;
    }

    @Override
    public CognitoIdentity getIdentity() {
        return identity;
    }

    @Override
    public ClientContext getClientContext() {
        return client;
    }

    @Override
    public int getRemainingTimeInMillis() {
        long left = invocation.deadline - System.currentTimeMillis();
        return (int) Math.max(0, Math.min(left, Integer.MAX_VALUE));
    }

    @Override
    public int getMemoryLimitInMB() {
        return function.memory;
    }

    @Override
    public LambdaLogger getLogger() {
        return FunctionLogger.INSTANCE;
    }

    @Override
    public String getTenantId() {
        return invocation.tenantId;
    }

    @Override
    public String getXrayTraceId() {
        return invocation.traceId;
    }

    private static boolean isEmpty(String s) {
        return s == null || s.isEmpty();
    }

    /** What is the same for all invocations of the worker. */
    static final class Function {
        private final String name = System.getenv("AWS_LAMBDA_FUNCTION_NAME");
        private final String version = System.getenv("AWS_LAMBDA_FUNCTION_VERSION");
        private final String logGroup = System.getenv("AWS_LAMBDA_LOG_GROUP_NAME");
        private final String logStream = System.getenv("AWS_LAMBDA_LOG_STREAM_NAME");
        private final int memory;

        Function() {
            String size = System.getenv("AWS_LAMBDA_FUNCTION_MEMORY_SIZE");
            memory = size == null ? 128 : Integer.parseInt(size);
        }
    }
}
