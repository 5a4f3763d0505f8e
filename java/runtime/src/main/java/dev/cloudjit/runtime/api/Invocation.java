package dev.cloudjit.runtime.api;

/** One event, with what the Runtime API says of it. Texts are null when the header is missing. */
public final class Invocation {
    public final String requestId;
    /** When the function's time is over, in milliseconds since the epoch; 0: not said. */
    public final long deadline;

    public final String functionArn;
    public final String traceId;
    /** JSON. */
    public final String clientContext;
    /** JSON. */
    public final String cognitoIdentity;

    public final String tenantId;
    public final byte[] payload;
    /** There is no event: the platform is going to save the process, and waits for {@link RuntimeApi#restored}. */
    public final boolean checkpoint;

    Invocation(HttpResponse response) {
        requestId = response.header("lambda-runtime-aws-request-id");
        deadline = parse(response.header("lambda-runtime-deadline-ms"));
        functionArn = response.header("lambda-runtime-invoked-function-arn");
        traceId = response.header("lambda-runtime-trace-id");
        clientContext = response.header("lambda-runtime-client-context");
        cognitoIdentity = response.header("lambda-runtime-cognito-identity");
        tenantId = response.header("lambda-runtime-aws-tenant-id");
        payload = response.body;
        checkpoint = response.header("lambda-runtime-checkpoint") != null;
    }

    private static long parse(String milliseconds) {
        try {
            return milliseconds == null ? 0 : Long.parseLong(milliseconds);
        } catch (NumberFormatException e) {
            return 0;
        }
    }
}
