package dev.cloudjit.runtime;

/** Puts the request id where the aws-lambda-java-log4j appenders look for it. Loaded only when one is in use. */
final class Log4j {
    private Log4j() {}

    static void put(String key, String value) {
        ClassLoader loader = Thread.currentThread().getContextClassLoader();
        try {
            Class.forName("org.apache.logging.log4j.ThreadContext", true, loader)
                    .getMethod("put", String.class, String.class).invoke(null, key, value);
        } catch (ReflectiveOperationException e) {
            try {
                Class.forName("org.apache.log4j.MDC", true, loader)
                        .getMethod("put", String.class, Object.class).invoke(null, key, value);
            } catch (ReflectiveOperationException none) {
                System.err.println("Neither log4j's ThreadContext nor its MDC is there: no request id in its lines.");
            }
        }
    }
}
