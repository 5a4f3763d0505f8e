package dev.cloudjit.tracer;

import java.io.File;

/**
 * The agent's arguments: {@code out=FOLDER[,interval=MILLISECONDS][,merge=FILE]}.
 *
 * @param out      folder for reachability-metadata.json; it must exist
 * @param interval longest time in milliseconds between something new and its being on disk
 * @param merge    metadata known before, which is written too; or null
 */
record Options(File out, int interval, File merge) {
    static final int DEFAULT_INTERVAL = 1000;

    static Options parse(String arguments) {
        File out = null;
        File merge = null;
        int interval = DEFAULT_INTERVAL;
        for (String argument : arguments == null ? new String[0] : arguments.split(",")) {
            int equals = argument.indexOf('=');
            String value = argument.substring(equals + 1);
            switch (equals < 0 ? "" : argument.substring(0, equals)) {
                case "out" -> out = new File(value);
                case "merge" -> merge = new File(value);
                case "interval" -> interval = milliseconds(value);
                default -> throw new IllegalArgumentException(
                        "unknown argument \"" + argument + "\": known are out=FOLDER, interval=MILLISECONDS, merge=FILE");
            }
        }
        if (out == null || !out.isDirectory()) {
            throw new IllegalArgumentException("out=FOLDER must name a folder that exists" + (out == null ? "" : ", and \"" + out + "\" is none"));
        }
        return new Options(out, interval, merge);
    }

    private static int milliseconds(String value) {
        try {
            int n = Integer.parseInt(value);
            if (n > 0) {
                return n;
            }
        } catch (NumberFormatException e) {
            // Said below.
        }
        throw new IllegalArgumentException("interval=" + value + " is no positive number of milliseconds");
    }
}
