package dev.cloudjit.runtime.json;

/** Input that the published library would refuse too. */
public final class MalformedJson extends RuntimeException {
    private static final long serialVersionUID = 1;

    MalformedJson(String what, int at) {
        super(what + " at character " + at);
    }

    MalformedJson(String what) {
        super(what);
    }
}
