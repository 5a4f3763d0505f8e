package com.amazonaws.services.lambda.runtime;

import dev.cloudjit.runtime.FunctionLogger;

/**
 * Stands in the place of aws-lambda-java-core's class of this name, whose logger the published client replaces by
 * reflection. This one begins with the right logger.
 */
public final class LambdaRuntime {
    private LambdaRuntime() {}

    public static LambdaLogger getLogger() {
        return FunctionLogger.INSTANCE;
    }
}
