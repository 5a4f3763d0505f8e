package com.oracle.svm.hosted;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;

/**
 * Tells the builder's progress report the width of its output and the memory it took. Stands in,
 * by {@code --patch-module}, for a class of the same name whose native part is not published.
 */
public final class ProgressReporterCHelper {
    /** Columns of the report; it is read in logs more often than on terminals. */
    static final int MAX_CHARACTERS_PER_LINE = 120;

    private ProgressReporterCHelper() {
    }

    public static int getTerminalWindowColumnsClamped() {
        return Math.min(MAX_CHARACTERS_PER_LINE, getTerminalWindowColumns());
    }

    public static int getTerminalWindowColumns() {
        return 80;
    }

    /** Bytes; -1 when it is not known. */
    public static long getPeakRSS() {
        try {
            for (String line : Files.readAllLines(Path.of("/proc/self/status"))) {
                if (line.startsWith("VmHWM:")) {
                    return Long.parseLong(line.replaceAll("\\D", "")) * 1024;
                }
            }
        } catch (IOException | NumberFormatException e) {
            // not Linux: the report leaves the figure out
        }
        return -1;
    }
}
