package sample;

import com.amazonaws.services.lambda.runtime.Context;

/** Cannot be made. */
public class Broken {
    public Broken() {
        throw new IllegalStateException("no database");
    }

    public String handle(String event, Context context) {
        return event;
    }
}
