package sample;

import com.amazonaws.services.lambda.runtime.ClientContext;
import com.amazonaws.services.lambda.runtime.Context;
import com.amazonaws.services.lambda.runtime.LambdaRuntime;
import com.amazonaws.services.lambda.runtime.RequestHandler;
import com.amazonaws.services.lambda.runtime.logging.LogLevel;
import java.util.LinkedHashMap;
import java.util.Map;

/** Says what it sees, or fails as it is told. */
public class Probe implements RequestHandler<Map<String, String>, Map<String, Object>> {
    @Override
    public Map<String, Object> handleRequest(Map<String, String> event, Context context) {
        if ("throw".equals(event.get("do"))) {
            throw new IllegalArgumentException("as told", new RuntimeException("the cause"));
        }
        if ("exhaust".equals(event.get("do"))) {
            throw new OutOfMemoryError("as told");
        }
        if ("interrupt".equals(event.get("do"))) {
            Thread.currentThread().interrupt();
        }
        System.out.println("printed é");
        System.err.println("printed to stderr");
        context.getLogger().log("logged\n");
        LambdaRuntime.getLogger().log("warned\n", LogLevel.WARN);
        Map<String, Object> seen = new LinkedHashMap<>();
        seen.put("requestId", context.getAwsRequestId());
        seen.put("group", context.getLogGroupName());
        seen.put("stream", context.getLogStreamName());
        seen.put("name", context.getFunctionName());
        seen.put("version", context.getFunctionVersion());
        seen.put("arn", context.getInvokedFunctionArn());
        seen.put("memory", context.getMemoryLimitInMB());
        seen.put("timeLeft", context.getRemainingTimeInMillis() > 1000);
        seen.put("identity", context.getIdentity() == null ? null : context.getIdentity().getIdentityId());
        ClientContext client = context.getClientContext();
        seen.put("app", client == null ? null : client.getClient().getAppTitle());
        seen.put("custom", client == null ? null : client.getCustom());
        seen.put("trace", System.getProperty("com.amazonaws.xray.traceHeader"));
        return seen;
    }
}
