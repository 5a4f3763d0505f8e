package dev.cloudjit.runtime;

import com.amazonaws.services.lambda.runtime.Context;
import dev.cloudjit.runtime.api.Body;
import dev.cloudjit.runtime.json.EventCodec;
import java.lang.reflect.Type;

/** A handler of Java values: JSON in, JSON out. */
abstract class ObjectHandler extends Handler {
    /** Null: the handler takes no event, or gives no answer. */
    private final EventCodec input;

    private final EventCodec output;

    /** Null types: no event, no answer. */
    ObjectHandler(Type input, Type output) {
        this.input = input == null ? null : new EventCodec(input);
        this.output = output == null || isVoid(output) ? null : new EventCodec(output);
        if (this.input != null) {
            this.input.prepare();
        }
        if (this.output != null) {
            this.output.prepare();
        }
    }

    abstract Object call(Object event, Context context) throws Throwable;

    @Override
    final void handle(byte[] event, Context context, Body answer) throws Throwable {
        Object value;
        try {
            value = input == null ? null : input.read(event, event.length);
        } catch (Throwable t) {
            throw Fault.filter(new RuntimeException("An error occurred during JSON parsing", t));
        }
        Object result = call(value, context);
        try {
            if (output == null) {
                answerNull(answer);
            } else {
                output.write(result, answer);
            }
        } catch (Throwable t) {
            throw Fault.filter(new RuntimeException("An error occurred during JSON serialization of response", t));
        }
    }

    private static boolean isVoid(Type type) {
        return type == void.class || type == Void.class;
    }
}
