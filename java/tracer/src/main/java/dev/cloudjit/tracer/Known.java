package dev.cloudjit.tracer;

import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import java.util.List;
import java.util.Map;

/** Reads metadata known before into the trace: a file that CloudJIT wrote, in its canonical form. */
final class Known {
    private Known() {}

    static void read(File file, Trace trace) {
        try {
            Map<?, ?> document = (Map<?, ?>) Json.parse(Files.readString(file.toPath()));
            for (Object entry : list(document.get("reflection"))) {
                type((Map<?, ?>) entry, trace);
            }
            for (Object entry : list(document.get("resources"))) {
                resource((Map<?, ?>) entry, trace);
            }
        } catch (IOException | ClassCastException | NullPointerException | IllegalArgumentException e) {
            throw new IllegalArgumentException("merge=" + file + " cannot be read as reachability metadata: " + e.getMessage());
        }
    }

    private static List<?> list(Object value) {
        return value == null ? List.of() : (List<?>) value;
    }

    private static void type(Map<?, ?> entry, Trace trace) {
        String descriptor = entry.get("type") instanceof String name ? name : descriptor((Map<?, ?>) entry.get("type"));
        if (descriptor == null || entry.containsKey("condition")) {
            return; // is not ours, and is merged where the trace is read
        }
        trace.type(descriptor);
        flag(entry, "unsafeAllocated", Trace.UNSAFE, descriptor, trace);
        flag(entry, "serializable", Trace.SERIALIZABLE, descriptor, trace);
        flag(entry, "jniAccessible", Trace.JNI, descriptor, trace);
        for (Object field : list(entry.get("fields"))) {
            Map<?, ?> f = (Map<?, ?>) field;
            trace.field(descriptor, (String) f.get("name"), f.get("allowWrite") == Boolean.TRUE);
        }
        for (Object method : list(entry.get("methods"))) {
            Map<?, ?> m = (Map<?, ?>) method;
            String parameters = m.containsKey("parameterTypes") ? join(list(m.get("parameterTypes"))) : "*";
            trace.method(descriptor, m.get("name") + "(" + parameters + ")");
        }
    }

    private static void flag(Map<?, ?> entry, String name, int flag, String descriptor, Trace trace) {
        if (entry.get(name) == Boolean.TRUE) {
            trace.flag(descriptor, flag);
        }
    }

    private static String descriptor(Map<?, ?> type) {
        if (!type.containsKey("proxy")) {
            return null;
        }
        StringBuilder s = new StringBuilder("{\"proxy\":[");
        String separator = "";
        for (Object name : list(type.get("proxy"))) {
            Json.string(s.append(separator), (String) name);
            separator = ",";
        }
        return s.append("]}").toString();
    }

    private static String join(List<?> names) {
        StringBuilder s = new StringBuilder();
        for (Object name : names) {
            s.append(s.isEmpty() ? "" : ",").append((String) name);
        }
        return s.toString();
    }

    private static void resource(Map<?, ?> entry, Trace trace) {
        if (entry.containsKey("condition")) {
            return;
        }
        if (entry.containsKey("bundle")) {
            trace.bundle((String) entry.get("bundle"));
        } else {
            trace.resource((String) entry.get("module"), (String) entry.get("glob"));
        }
    }
}
