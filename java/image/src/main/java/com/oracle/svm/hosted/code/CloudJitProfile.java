package com.oracle.svm.hosted.code;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;

/** What HotSpot's second compiler found out about a program, as the package internal/profile writes it. */
final class CloudJitProfile {
    private static final String HEADER = "cloudjit-profile 1";

    /** What the name of a receiver is. */
    enum Kind {
        /** Its own class's. */
        CLASS,
        /** That of the method that a lambda calls, whose class has another name in each process: CLASS.NAMEDESCRIPTOR. */
        LAMBDA,
        /** That of the class which declares the method that was called. */
        HOLDER
    }

    /** Receivers of a call. */
    record Receiver(Kind kind, String name, long count) {}

    /** A call, with its receivers, the most frequent first. */
    record Site(boolean inlined, long count, List<Receiver> receivers) {}

    /** A method that HotSpot compiled, by itself or as a part of others. Branches are the probabilities that they are taken. */
    record Body(Map<Integer, Site> sites, Map<Integer, Double> branches) {
        /** How often its calls were seen: a measure of what it is worth to compile it well. */
        long weight() {
            return sites.values().stream().mapToLong(Site::count).sum();
        }
    }

    private final Map<String, Body> bodies = new HashMap<>();
    private final Map<String, Long> seen = new HashMap<>();

    /** Reads a file that was checked before. */
    static CloudJitProfile read(Path file) throws IOException {
        CloudJitProfile p = new CloudJitProfile();
        List<String> lines = Files.readAllLines(file);
        if (lines.isEmpty() || !lines.get(0).equals(HEADER)) {
            throw new IOException("its first line is not " + HEADER);
        }
        Body body = null;
        for (String line : lines.subList(1, lines.size())) {
            String[] f = line.split(" ");
            if (f[0].equals("method")) {
                body = new Body(new HashMap<>(), new HashMap<>());
                p.bodies.put(key(f[1], f[2], f[3]), body);
            } else if (f[0].equals("branch")) {
                double taken = Long.parseLong(f[2]);
                double all = taken + Long.parseLong(f[3]);
                if (all > 0) {
                    body.branches.put(Integer.parseInt(f[1]), taken / all);
                }
            } else {
                List<Receiver> receivers = new ArrayList<>();
                for (int i = 4; i < f.length; i += 3) {
                    Receiver r = new Receiver(Kind.valueOf(f[i].toUpperCase(Locale.ROOT)), f[i + 1], Long.parseLong(f[i + 2]));
                    receivers.add(r);
                    if (r.kind == Kind.CLASS) {
                        p.seen.merge(r.name, r.count, Long::sum);
                    }
                }
                body.sites.put(Integer.parseInt(f[1]), new Site(f[2].equals("inlined"), Long.parseLong(f[3]), receivers));
            }
        }
        return p;
    }

    static String key(String type, String name, String descriptor) {
        return type + ' ' + name + ' ' + descriptor;
    }

    /** Returns what is known of a method; null: nothing. */
    Body body(String key) {
        return bodies.get(key);
    }

    /** Returns how often a class was that of a receiver, at all calls together. */
    long seen(String type) {
        return seen.getOrDefault(type, 0L);
    }

    /** Returns the methods whose calls were seen, those that weigh most first. */
    List<String> hot(int most) {
        return bodies.entrySet().stream().filter(e -> e.getValue().weight() > 0)
                .sorted(Map.Entry.<String, Body>comparingByValue((a, b) -> Long.compare(b.weight(), a.weight())).thenComparing(Map.Entry.comparingByKey()))
                .limit(most).map(Map.Entry::getKey).toList();
    }
}
