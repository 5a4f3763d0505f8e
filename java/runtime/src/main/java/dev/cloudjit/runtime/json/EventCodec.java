package dev.cloudjit.runtime.json;

import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.lang.reflect.Type;

/** Turns events and answers of one declared type from and to JSON: by itself where it can, else by the library. */
public final class EventCodec {
    private final Type type;
    /** Null: the library does everything. */
    private final Codec fast;

    /** Made when it is first needed: loading the library takes longer than all the rest. */
    private Library.Serializer slow;

    public EventCodec(Type type) {
        this.type = type;
        this.fast = Library.isReplaced() ? null : fast(type);
    }

    /** Whether the type is left to the published library altogether. */
    public boolean needsLibrary() {
        return fast == null;
    }

    /** Makes what the first event needs, so that it happens in the function's initialization. */
    public void prepare() {
        if (fast == null) {
            slow();
        }
    }

    public Object read(byte[] json, int length) {
        if (fast != null) {
            try {
                return fast.read(new JsonReader(json, length));
            } catch (Doubt e) {
                // The library decides.
            } catch (StackOverflowError e) {
                throw new MalformedJson("nesting too deep");
            }
        }
        return slow().read(new ByteArrayInputStream(json, 0, length));
    }

    public void write(Object value, OutputStream out) throws IOException {
        if (fast != null) {
            try {
                JsonWriter json = new JsonWriter();
                if (value == null) {
                    json.raw("null");
                } else {
                    fast.write(json, value);
                }
                out.write(json.toBytes());
                return;
            } catch (Doubt e) {
                // The library decides.
            }
        }
        slow().write(value, out);
    }

    private Library.Serializer slow() {
        if (slow == null) {
            slow = Library.load().serializer(type);
        }
        return slow;
    }

    private static Codec fast(Type type) {
        try {
            return Codecs.of(type);
        } catch (Doubt e) {
            return null;
        }
    }
}
