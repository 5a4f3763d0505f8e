package dev.cloudjit.runtime;

import com.amazonaws.services.lambda.runtime.Context;
import dev.cloudjit.runtime.api.Body;

/** The function's handler in the one form that the loop calls. */
abstract class Handler {
    /** What handlers without an answer answer. */
    private static final byte[] NULL = {'n', 'u', 'l', 'l'};

    /** Throws what the handler threw, with this client's frames removed. */
    abstract void handle(byte[] event, Context context, Body answer) throws Throwable;

    static void answerNull(Body answer) {
        answer.write(NULL, 0, NULL.length);
    }

    /** A handler that could be named but not used: every invocation says so, and the worker stays. */
    static final class Faulty extends Handler {
        final Fault fault;

        Faulty(Fault fault) {
            this.fault = fault;
        }

        @Override
        void handle(byte[] event, Context context, Body answer) {
            throw fault;
        }
    }
}
