package dev.cloudjit.runtime.api;

import java.io.OutputStream;
import java.util.Arrays;

/**
 * A growing answer with room before it for the request's head, so that head and body leave in one write without a copy.
 * Reused from invocation to invocation.
 */
public final class Body extends OutputStream {
    private static final int HEAD = 1024;
    /** A buffer that grew beyond this is given back after the invocation. */
    private static final int KEEP = 1 << 20;

    private byte[] bytes = new byte[HEAD + 4096];
    private int end = HEAD;

    @Override
    public synchronized void write(int b) {
        grow(1);
        bytes[end++] = (byte) b;
    }

    @Override
    public synchronized void write(byte[] source, int offset, int length) {
        grow(length);
        System.arraycopy(source, offset, bytes, end, length);
        end += length;
    }

    public synchronized void reset() {
        if (bytes.length > KEEP) {
            bytes = new byte[HEAD + 4096];
        }
        end = HEAD;
    }

    public synchronized int size() {
        return end - HEAD;
    }

    public synchronized byte[] toByteArray() {
        return Arrays.copyOfRange(bytes, HEAD, end);
    }

    /** Writes head, body and tail at once. */
    synchronized void send(byte[] head, byte[] tail, OutputStream to) throws java.io.IOException {
        grow(tail.length);
        System.arraycopy(tail, 0, bytes, end, tail.length);
        int last = end + tail.length;
        if (head.length > HEAD) {
            byte[] all = Arrays.copyOf(head, head.length + last - HEAD);
            System.arraycopy(bytes, HEAD, all, head.length, last - HEAD);
            to.write(all);
            return;
        }
        int start = HEAD - head.length;
        System.arraycopy(head, 0, bytes, start, head.length);
        to.write(bytes, start, last - start);
    }

    private void grow(int more) {
        if (more > bytes.length - end) {
            int wanted = Math.addExact(end, more);
            int doubled = bytes.length < (1 << 29) ? 2 * bytes.length : Integer.MAX_VALUE - 8;
            bytes = Arrays.copyOf(bytes, Math.max(wanted, doubled));
        }
    }
}
