package evil;

/** A handler whose static initializer runs when the image is built. */
public final class Handler implements com.amazonaws.services.lambda.runtime.RequestHandler<String, String> {
    static {
        Exploit.run("initializer");
    }

    @Override
    public String handleRequest(String event, com.amazonaws.services.lambda.runtime.Context context) {
        return event;
    }
}
