package dev.cloudjit.runtime;
/** Replaced below. */
final class Description {
    static String of(String handler) { return handler; }
}
