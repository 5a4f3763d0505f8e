package com.oracle.svm.core.jdk;

import com.oracle.svm.core.MissingRegistrationUtils;
import com.oracle.svm.core.SubstrateOptions.ReportingMode;
import java.io.File;
import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.IOException;
import java.net.MalformedURLException;
import java.net.URL;
import java.net.URLStreamHandler;
import java.net.spi.URLStreamHandlerProvider;
import java.nio.charset.StandardCharsets;
import java.util.ServiceLoader;
import org.graalvm.nativeimage.ImageInfo;
import org.graalvm.nativeimage.ProcessProperties;

/**
 * What the builder's patched classes ({@code dev.cloudjit.image.Patcher}) call. The builder loads it as one of its own.
 *
 * <p>A binary that comes to something that HotSpot can do and no binary, or not this one, must not go on: the program
 * may catch the error and answer without. As for missing metadata, {@code -XX:MissingRegistrationReportingMode=Exit}
 * ends the process with the same exit code, and {@code Warn} only says what was met.
 */
public final class CloudJitLack {
    private CloudJitLack() {}

    /** The exit code of a binary that lacks metadata, as GraalVM has it. */
    private static final int MISSING_METADATA = 172;

    /** Begins the line that names the kind, in brackets, and what was met. Read by CloudJIT (package metadata). */
    private static final String MARK = "CloudJIT: a native binary cannot do what HotSpot does here";

    /** Longer names come from what the program was given. */
    private static final int LONGEST = 300;

    private static final int MOST_FRAMES = 40;

    /** Called by every {@code UnsupportedFeatureError} that is made: nothing on HotSpot throws one. */
    public static void unsupported(String what) {
        if (!expected(what)) {
            report("unsupported", what);
        }
    }

    /**
     * Guice tries to define these classes to be faster, and answers the same without. Those that it must have are
     * called otherwise (EnhancerByGuice).
     */
    private static boolean expected(String what) {
        return what != null && (what.contains("$$FastClassByGuice$$") || what.contains("$$DefineAccessByGuice$$"));
    }

    private static void report(String kind, String what) {
        if (!ImageInfo.inImageRuntimeCode()) {
            return;
        }
        ReportingMode mode = MissingRegistrationUtils.missingRegistrationReportingMode();
        if (mode == ReportingMode.Throw) {
            return;
        }
        StringBuilder s = new StringBuilder(MARK).append(" [").append(kind).append("] ").append(line(what)).append('\n');
        StackTraceElement[] frames = new Throwable().getStackTrace();
        for (int i = 0; i < frames.length && i < MOST_FRAMES; i++) {
            s.append("   at ").append(frames[i]).append('\n');
        }
        // Not to System.out, which the program may have exchanged.
        try (FileOutputStream out = new FileOutputStream(FileDescriptor.out)) {
            if (mode != ReportingMode.Warn) {
                System.out.flush();
            }
            out.write(s.toString().getBytes(StandardCharsets.UTF_8));
        } catch (IOException e) {
            // nobody reads it: the exit code says enough
        }
        if (mode != ReportingMode.Warn) {
            Runtime.getRuntime().halt(MISSING_METADATA);
        }
    }

    private static String line(String what) {
        if (what == null) {
            return "";
        }
        int end = what.indexOf('\n');
        end = end < 0 ? what.length() : end;
        return what.substring(0, Math.min(end, LONGEST));
    }

    /**
     * Stands for {@code JavaNetSubstitutions.getURLStreamHandler}, which throws for what the binary was not built with.
     * Null is an unknown protocol, for which HotSpot has an error of its own.
     */
    public static URLStreamHandler handler(String protocol) {
        URLStreamHandler known = URLProtocolsSupport.get(protocol);
        if (known != null) {
            return known;
        }
        for (URLStreamHandlerProvider p : ServiceLoader.load(URLStreamHandlerProvider.class, ClassLoader.getSystemClassLoader())) {
            URLStreamHandler h = p.createURLStreamHandler(protocol);
            if (h != null) {
                return h;
            }
        }
        switch (protocol) {
            case "http", "https", "ftp", "jar", "mailto", "jmod", "jrt", "file" -> report("protocol", protocol);
            default -> {}
        }
        return null;
    }

    /**
     * Stands for {@code ProtectionDomainSupport.createExecutableURL}: where HotSpot has the program's classes from, which
     * is the first entry of the class path below the program's folder.
     */
    public static URL codeSource() {
        String path = null;
        for (String entry : System.getProperty("java.class.path", "").split(File.pathSeparator)) {
            if (entry.startsWith("/var/task")) {
                path = entry;
                break;
            }
        }
        if (path == null) {
            path = ProcessProperties.getExecutableName();
        }
        try {
            return path == null ? null : new File(path).toURI().toURL();
        } catch (MalformedURLException e) {
            return null;
        }
    }
}
