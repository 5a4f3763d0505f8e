package dev.cloudjit.tracer;

import java.io.File;
import java.io.FileOutputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.HashSet;
import java.util.Set;
import java.util.concurrent.locks.LockSupport;
import java.util.concurrent.locks.ReentrantLock;

/**
 * Writes the trace: soon after it changed, at most once an interval while it goes on changing,
 * when it is asked to, and at the end. The file is replaced atomically, so that it is whole
 * whenever the program dies.
 */
final class TraceFile extends Thread {
    static final String NAME = "reachability-metadata.json";

    /**
     * A worker that lives for two seconds must leave its trace: the first writes, and later those
     * of what comes alone, wait this many milliseconds only.
     */
    private static final int SOON = 100;
    private static final int SOON_COUNT = 20;

    private final Trace trace;
    private final NativeLibraries libraries;
    private final File target;
    private final File temporary;
    private final int interval;
    private final ReentrantLock lock = new ReentrantLock();
    private int written;

    TraceFile(Trace trace, NativeLibraries libraries, Options options) {
        super("cloudjit-tracer");
        this.trace = trace;
        this.libraries = libraries;
        this.target = new File(options.out(), NAME);
        this.temporary = new File(options.out(), "." + NAME + "." + ProcessHandle.current().pid());
        this.interval = options.interval();
        this.written = -1;
        setDaemon(true);
    }

    @Override
    public void run() {
        Hooks.ignoreThisThread();
        for (int count = 0; ; ) {
            if (written != trace.version.get()) {
                int waited = 0;
                int before;
                do {
                    before = trace.version.get();
                    sleep(Math.min(SOON, interval));
                    waited += SOON;
                } while (count >= SOON_COUNT && waited < interval && before != trace.version.get());
                libraries.scan();
                flush();
                count++;
            } else {
                LockSupport.park(this);
                Thread.interrupted();
            }
        }
    }

    private static void sleep(int milliseconds) {
        try {
            Thread.sleep(milliseconds);
        } catch (InterruptedException e) {
            // Nobody should, and it only means that the next write comes sooner.
        }
    }

    /** Writes what is new. A failure (a full disk) leaves the file before it, and is tried again. */
    void flush() {
        lock.lock();
        try {
            int version = trace.version.get();
            if (version == written) {
                return;
            }
            byte[] content = content(trace).getBytes(StandardCharsets.UTF_8);
            try (FileOutputStream out = new FileOutputStream(temporary)) {
                out.write(content);
            }
            if (!temporary.renameTo(target)) {
                throw new IOException("rename " + temporary);
            }
            written = version;
        } catch (IOException e) {
            temporary.delete();
        } finally {
            lock.unlock();
        }
    }

    static String content(Trace trace) {
        StringBuilder s = new StringBuilder(1 << 16).append("{\n  \"reflection\": [");
        String separator = "\n    ";
        Set<String> lambdas = new HashSet<>();
        for (String descriptor : sorted(trace.types.keySet())) {
            // A lambda that is serializable among the reflected types makes GraalVM 25 fail with an
            // internal error (two types for one class), so it stands in a section of its own.
            if (descriptor.startsWith(Names.LAMBDA) && (trace.types.get(descriptor).flags.get() & Trace.SERIALIZABLE) != 0) {
                lambdas.add("{\"type\": " + descriptor + "}");
                continue;
            }
            type(s.append(separator), descriptor, trace.types.get(descriptor));
            separator = ",\n    ";
        }
        s.append("\n  ],\n  \"serialization\": [");
        list(s, "\n    ", lambdas).append("\n  ],\n  \"resources\": [");
        list(s, "\n    ", trace.resources).append("\n  ]");
        return s.append("\n}\n").toString();
    }

    private static void type(StringBuilder s, String descriptor, Trace.Type type) {
        s.append("{\"type\": ");
        if (descriptor.startsWith("{")) {
            s.append(descriptor);
        } else {
            Json.string(s, descriptor);
        }
        int flags = type.flags.get();
        flag(s, flags & Trace.UNSAFE, "unsafeAllocated");
        flag(s, flags & Trace.SERIALIZABLE, "serializable");
        flag(s, flags & Trace.JNI, "jniAccessible");
        String separator = ", \"fields\": [";
        for (String field : sorted(type.fields)) {
            Json.string(s.append(separator).append("{\"name\": "), field);
            s.append(type.finalFields.contains(field) ? ", \"allowWrite\": true}" : "}");
            separator = ", ";
        }
        if (separator.equals(", ")) {
            s.append(']');
        }
        separator = ", \"methods\": [";
        for (String signature : sorted(type.methods)) {
            method(s.append(separator), signature);
            separator = ", ";
        }
        s.append(separator.equals(", ") ? "]}" : "}");
    }

    private static void flag(StringBuilder s, int set, String name) {
        if (set != 0) {
            s.append(", \"").append(name).append("\": true");
        }
    }

    private static void method(StringBuilder s, String signature) {
        int open = signature.lastIndexOf('(');
        Json.string(s.append("{\"name\": "), signature.substring(0, open));
        String parameters = signature.substring(open + 1, signature.length() - 1);
        if (!parameters.equals("*")) {
            s.append(", \"parameterTypes\": [");
            if (!parameters.isEmpty()) {
                String separator = "";
                for (String parameter : parameters.split(",")) {
                    Json.string(s.append(separator), parameter);
                    separator = ", ";
                }
            }
            s.append(']');
        }
        s.append('}');
    }

    private static StringBuilder list(StringBuilder s, String lineBreak, Set<String> entries) {
        String separator = lineBreak;
        for (String entry : sorted(entries)) {
            s.append(separator).append(entry);
            separator = "," + lineBreak;
        }
        return s;
    }

    private static String[] sorted(Set<String> set) {
        String[] all = set.toArray(new String[0]);
        Arrays.sort(all);
        return all;
    }
}
