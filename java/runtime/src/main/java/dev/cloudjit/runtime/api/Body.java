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

    /** Writes head and body at once. */
    synchronized void send(byte[] head, OutputStream to) throws java.io.IOException {
        if (head.length > HEAD) {
            byte[] all = Arrays.copyOf(head, head.length + size());
            System.arraycopy(bytes, HEAD, all, head.length, size());
            to.write(all);
            return;
        }
        int start = HEAD - head.length;
        System.arraycopy(head, 0, bytes, start, head.length);
        to.write(bytes, start, end - start);
    }

    private void grow(int more) {
        if (more > bytes.length - end) {
            int wanted = Math.addExact(end, more);
            int doubled = bytes.length < (1 << 29) ? 2 * bytes.length : Integer.MAX_VALUE - 8;
            bytes = Arrays.copyOf(bytes, Math.max(wanted, doubled));
        }
    }
}
