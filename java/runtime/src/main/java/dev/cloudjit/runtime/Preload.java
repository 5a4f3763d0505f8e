package dev.cloudjit.runtime;

import java.io.ByteArrayInputStream;
import java.io.DataInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;

/**
 * Loads and links, before the process is saved, the classes that the function's code names: a first invocation takes most of its
 * time for that. Nothing is initialized, so no code of the function runs.
 *
 * <p>From the classes that are there it goes on to those that they name, in widening circles. It stays among the function's own
 * classes and the libraries that it brings; of the JDK's it loads those that are named there, and goes no further.
 */
final class Preload {
    /** First answers of orders came as soon with 1,000 as with 4,000; those of Petclinic a sixth sooner with 2,000, and hardly more with 4,000. */
    private static final int MAX_CLASSES = 2000;

    /** What a class takes: 5 to 10 KiB of metaspace, and garbage. */
    private static final int CLASS_BYTES = 16 << 10;

    /** The client's own classes: what they need is there, or is left out with reason (the serialization library). */
    private static final String OWN = "dev.cloudjit.runtime.";

    private final int limit;
    private final long deadline;
    private final Set<String> seen = new HashSet<>();
    private final ArrayDeque<Class<?>> next = new ArrayDeque<>();
    private int loaded;

    /** Loads at most so many classes, and ends after so many nanoseconds. */
    Preload(int limit, long nanoseconds) {
        this.limit = limit;
        this.deadline = System.nanoTime() + nanoseconds;
    }

    /**
     * How many classes fit beside what is there. The process may be as large as its heap, which is three quarters of the
     * function's memory: what lies on top of that is left for the first invocation.
     */
    static int room() {
        try {
            for (String line : Files.readAllLines(Path.of("/proc/self/status"))) {
                if (line.startsWith("VmRSS:")) { // "VmRSS:	   35244 kB", proc(5)
                    long left = Runtime.getRuntime().maxMemory() - (Long.parseLong(line.replaceAll("\\D", "")) << 10);
                    return (int) Math.max(0, Math.min(left / CLASS_BYTES, MAX_CLASSES));
                }
            }
        } catch (IOException | RuntimeException e) {
            // As below.
        }
        return 0;
    }

    /** Begins with these classes. Returns how many were loaded. */
    int from(List<Class<?>> roots) {
        for (Class<?> root : roots) {
            if (seen.add(root.getName()) && goesOnFrom(root)) {
                next.add(root);
            }
        }
        while (!next.isEmpty()) {
            Class<?> type = next.poll();
            for (String name : named(type)) {
                if (loaded >= limit || System.nanoTime() > deadline) {
                    return loaded;
                }
                if (seen.add(name)) {
                    load(name, type.getClassLoader());
                }
            }
        }
        return loaded;
    }

    /** Whether it is the function's, and not the JDK's or the client's. */
    private static boolean goesOnFrom(Class<?> type) {
        ClassLoader loader = type.getClassLoader();
        boolean client = loader == Preload.class.getClassLoader() && type.getName().startsWith(OWN);
        return loader != null && loader != ClassLoader.getPlatformClassLoader() && !client;
    }

    private void load(String name, ClassLoader loader) {
        try {
            Class<?> type = Class.forName(name, false, loader);
            type.getDeclaredMethods(); // links it, and so verifies its code
            loaded++;
            if (goesOnFrom(type)) {
                next.add(type);
            }
        } catch (Throwable t) {
            // It is optional, or broken. It may never be needed.
        }
    }

    /** The classes that a class names in its constant pool; none where its file is not to be had. */
    private static List<String> named(Class<?> type) {
        String file = type.getName().substring(type.getName().lastIndexOf('.') + 1) + ".class";
        try (InputStream in = type.getResourceAsStream(file)) {
            return in == null ? List.of() : classes(in.readAllBytes());
        } catch (IOException | RuntimeException e) {
            return List.of();
        }
    }

    /** Reads a constant pool (The Java Virtual Machine Specification, 4.4). */
    static List<String> classes(byte[] file) throws IOException {
        DataInputStream in = new DataInputStream(new ByteArrayInputStream(file));
        if (in.readInt() != 0xCAFEBABE) {
            throw new IOException("not a class file");
        }
        in.readInt();
        int count = in.readUnsignedShort();
        String[] texts = new String[count];
        int[] names = new int[count];
        for (int i = 1; i < count; i++) {
            int tag = in.readUnsignedByte();
            switch (tag) {
                case 1:
                    texts[i] = in.readUTF();
                    break;
                case 7:
                    names[i] = in.readUnsignedShort();
                    break;
                case 8: case 16: case 19: case 20:
                    in.skipBytes(2);
                    break;
                case 15:
                    in.skipBytes(3);
                    break;
                case 3: case 4: case 9: case 10: case 11: case 12: case 17: case 18:
                    in.skipBytes(4);
                    break;
                case 5: case 6:
                    in.skipBytes(8);
                    i++; // takes two places
                    break;
                default:
                    throw new IOException("a constant of kind " + tag);
            }
        }
        List<String> list = new ArrayList<>();
        for (int name : names) {
            String s = name == 0 ? null : texts[name];
            if (s != null && !s.startsWith("[")) {
                list.add(s.replace('/', '.'));
            }
        }
        return list;
    }
}
