package features;

/** A native library of the archive's own, as lib/libfeatures.so. */
final class Own {
    private Own() {}

    static native int twice(int i);

    static int doubled(int i) {
        System.loadLibrary("features");
        return twice(i);
    }
}
