package dev.cloudjit.tracer;

/** Placeholder. */
final class NativeLibraries {
    NativeLibraries(Trace trace) {}

    void loaded(ClassLoader loader, String path) {}
}
