package dev.cloudjit.runtime.api;

import java.io.EOFException;
import java.io.IOException;
import java.io.InputStream;
import java.net.ProtocolException;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.HashMap;
import java.util.Locale;

/** One HTTP/1.1 response, read whole. Transfer codings other than chunked are not asked for. */
final class HttpResponse {
    private static final int MAX_LINE = 2 << 20;
    private static final int MAX_HEADERS = 1000;
    /** Above what any platform sends (6 MB); the answer of a peer that says more is not HTTP's fault. */
    private static final long MAX_BODY = 1L << 30;

    final int status;
    final byte[] body;
    /** Whether the connection can carry another request. */
    final boolean keepAlive;

    private final HashMap<String, String> headers = new HashMap<>();

    /** Reads one response; interim responses (1xx) before it are passed over. */
    HttpResponse(Input in) throws IOException {
        int code;
        boolean http11;
        do {
            String line = in.line();
            if (!line.startsWith("HTTP/1.") || line.length() < 12) {
                throw new ProtocolException("not a status line: " + line);
            }
            http11 = line.charAt(7) != '0';
            code = (int) parse(line.substring(9, 12), 10);
            readHeaders(in);
        } while (code < 200);
        status = code;

        String connection = header("connection");
        boolean persistent = connection == null ? http11 : !connection.toLowerCase(Locale.ROOT).contains("close")
                && (http11 || connection.toLowerCase(Locale.ROOT).contains("keep-alive"));
        String coding = header("transfer-encoding");
        String length = header("content-length");
        if (code == 204 || code == 304) {
            body = new byte[0];
        } else if (coding != null) {
            if (!coding.trim().equalsIgnoreCase("chunked")) {
                throw new ProtocolException("transfer coding " + coding);
            }
            body = readChunks(in);
        } else if (length != null) {
            long size = parse(length.trim(), 10);
            if (size > MAX_BODY) {
                throw new ProtocolException("body of " + size + " bytes");
            }
            body = new byte[(int) size];
            in.readFully(body, 0, body.length);
        } else {
            body = in.rest();
            persistent = false;
        }
        keepAlive = persistent;
    }

    /** Names in lower case; null: not there. */
    String header(String name) {
        return headers.get(name);
    }

    private void readHeaders(Input in) throws IOException {
        headers.clear();
        for (int i = 0; i < MAX_HEADERS; i++) {
            String line = in.line();
            if (line.isEmpty()) {
                return;
            }
            int colon = line.indexOf(':');
            if (colon <= 0) {
                throw new ProtocolException("not a header: " + line);
            }
            headers.put(line.substring(0, colon).toLowerCase(Locale.ROOT), line.substring(colon + 1).trim());
        }
        throw new ProtocolException("more than " + MAX_HEADERS + " headers");
    }

    private static byte[] readChunks(Input in) throws IOException {
        byte[] body = new byte[8192];
        int size = 0;
        while (true) {
            String line = in.line();
            int extension = line.indexOf(';');
            long chunk = parse((extension < 0 ? line : line.substring(0, extension)).trim(), 16);
            if (chunk == 0) {
                while (!in.line().isEmpty()) {
                    // Trailers mean nothing here.
                }
                return Arrays.copyOf(body, size);
            }
            if (size + chunk > MAX_BODY) {
                throw new ProtocolException("body of more than " + MAX_BODY + " bytes");
            }
            if (size + chunk > body.length) {
                body = Arrays.copyOf(body, (int) Math.max(size + chunk, Math.min(2L * body.length, MAX_BODY)));
            }
            in.readFully(body, size, (int) chunk);
            size += (int) chunk;
            if (!in.line().isEmpty()) {
                throw new ProtocolException("chunk longer than announced");
            }
        }
    }

    private static long parse(String digits, int radix) throws ProtocolException {
        try {
            long value = Long.parseLong(digits, radix);
            if (value >= 0) {
                return value;
            }
        } catch (NumberFormatException e) {
            // Said below.
        }
        throw new ProtocolException("not a number: " + digits);
    }

    /** Lines and blocks of bytes from a socket. */
    static final class Input {
        private final InputStream in;
        private final byte[] buffer = new byte[16 << 10];
        private int at;
        private int end;

        Input(InputStream in) {
            this.in = in;
        }

        /** Up to the next line feed; header values are UTF-8, as Lambda's client contexts are. */
        String line() throws IOException {
            byte[] line = null;
            while (true) {
                for (int i = at; i < end; i++) {
                    if (buffer[i] == '\n') {
                        String part = text(line, i);
                        at = i + 1;
                        return part;
                    }
                }
                int had = line == null ? 0 : line.length;
                if (had + end - at > MAX_LINE) {
                    throw new ProtocolException("line of more than " + MAX_LINE + " bytes");
                }
                line = line == null ? Arrays.copyOfRange(buffer, at, end) : join(line, end);
                at = end;
                fill();
            }
        }

        void readFully(byte[] target, int offset, int length) throws IOException {
            int buffered = Math.min(length, end - at);
            System.arraycopy(buffer, at, target, offset, buffered);
            at += buffered;
            int done = buffered;
            while (done < length) {
                int n = in.read(target, offset + done, length - done);
                if (n < 0) {
                    throw new EOFException("the connection ended inside a body");
                }
                done += n;
            }
        }

        byte[] rest() throws IOException {
            byte[] all = Arrays.copyOfRange(buffer, at, end);
            at = end;
            for (int n = in.read(buffer); n >= 0; n = in.read(buffer)) {
                int had = all.length;
                all = Arrays.copyOf(all, had + n);
                System.arraycopy(buffer, 0, all, had, n);
            }
            return all;
        }

        /** Waits for the next byte; true: there is none any more. */
        boolean ended() throws IOException {
            if (at < end) {
                return false;
            }
            at = 0;
            end = Math.max(in.read(buffer), 0);
            return end == 0;
        }

        private void fill() throws IOException {
            if (ended()) {
                throw new EOFException("the connection ended");
            }
        }

        private byte[] join(byte[] line, int to) {
            byte[] longer = Arrays.copyOf(line, line.length + to - at);
            System.arraycopy(buffer, at, longer, line.length, to - at);
            return longer;
        }

        private String text(byte[] before, int to) {
            byte[] bytes = before == null || before.length == 0 ? null : join(before, to);
            int length = bytes == null ? to - at : bytes.length;
            int from = bytes == null ? at : 0;
            byte[] source = bytes == null ? buffer : bytes;
            if (length > 0 && source[from + length - 1] == '\r') {
                length--;
            }
            return new String(source, from, length, StandardCharsets.UTF_8);
        }
    }
}
