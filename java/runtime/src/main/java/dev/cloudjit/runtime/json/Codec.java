package dev.cloudjit.runtime.json;

/** Reads and writes values of one declared type. Both may throw {@link Doubt}. */
abstract class Codec {
    /** Reads one value; null only where the document says null. */
    abstract Object read(JsonReader in);

    /** Writes a value that is not null. Most types are written as what they are at run time. */
    void write(JsonWriter out, Object value) {
        Values.write(out, value, 0);
    }
}
