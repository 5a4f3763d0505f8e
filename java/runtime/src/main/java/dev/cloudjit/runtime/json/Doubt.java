package dev.cloudjit.runtime.json;

/** The fast path is not certain what the published library would do: it must be asked. Never seen by a function. */
public final class Doubt extends RuntimeException {
    private static final long serialVersionUID = 1;

    Doubt(String why) {
        super(why, null, false, false);
    }
}
