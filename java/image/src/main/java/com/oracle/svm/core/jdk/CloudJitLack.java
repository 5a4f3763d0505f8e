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
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.Locale;
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

    /** Called where words or lines of a text are asked for: Thai alone has rules of its own, and a dictionary, which no binary has. */
    public static void breaks(Locale locale) {
        if (locale.getLanguage().equals("th")) {
            report("unsupported", "java.text.BreakIterator of " + locale.toLanguageTag());
        }
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
     * Null is an unknown protocol, for which HotSpot has an error of its own. The program's own providers of protocols are not
     * asked: the builder's module, to which this class belongs, may not look for them.
     */
    public static URLStreamHandler handler(String protocol) {
        URLStreamHandler known = URLProtocolsSupport.get(protocol);
        if (known != null) {
            return known;
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

    /** Hashes of the names of all files and folders of the image's class path, sorted; null: they are not known. */
    private static long[] archive;

    /** Called while the image is built. */
    public static void setArchive(long[] hashes) {
        archive = hashes;
    }

    /** FNV-1a of 64 bits, over characters: a false match, one in 2^40 for an archive of 16 million files, is a deoptimization. */
    public static long hash(String name) {
        long h = 0xcbf29ce484222325L;
        for (int i = 0; i < name.length(); i++) {
            h = (h ^ name.charAt(i)) * 0x100000001b3L;
        }
        return h;
    }

    private static boolean known(String file) {
        return Arrays.binarySearch(archive, hash(file)) >= 0;
    }

    /**
     * Whether there certainly is no such resource: it is no missing metadata, but not found, as on HotSpot. Programs
     * look for names that no trace has, log4j2 for one with an object's hash in it.
     */
    public static boolean absentResource(Module module, String name) {
        if (archive == null || name == null || name.endsWith(".class") && jdk(name.replace('/', '.'))) {
            return false;
        }
        int begin = 0;
        while (begin < name.length() && name.charAt(begin) == '/') {
            begin++;
        }
        return !known(name.substring(begin));
    }

    /** Whether there certainly is no such class: neither in the archive nor in the JDK. */
    public static boolean absentClass(String name) {
        if (archive == null || name == null || name.isEmpty() || name.indexOf('[') >= 0 || name.contains("$$") || jdk(name)) {
            return false; // classes that were made at run time have "$$" in their names
        }
        return !known(name.replace('.', '/') + ".class");
    }

    private static final String[] JDK = {"java.", "javax.", "jdk.", "sun.", "com.sun.", "com.oracle.svm.", "org.graalvm.", "org.w3c.dom.", "org.xml.sax.", "org.ietf.jgss.", "org.jcp.xml.", "netscape.javascript."};

    private static boolean jdk(String name) {
        for (String prefix : JDK) {
            if (name.startsWith(prefix)) {
                return true;
            }
        }
        return false;
    }

    /** HotSpot's message of a cast that fails (linkResolver.cpp, Klass::external_name and class_in_module_of_loader). */
    public static String castMessage(Object object, Object type) {
        Class<?> from = object.getClass();
        if (!(type instanceof Class<?> to)) {
            return from.getName() + " cannot be cast to " + type;
        }
        StringBuilder s = new StringBuilder("class ").append(from.getName()).append(" cannot be cast to class ").append(to.getName()).append(" (");
        String one = place(from);
        String other = place(to);
        if (one.equals(other)) {
            s.append(from.getName()).append(" and ").append(to.getName()).append(" are in ").append(one);
        } else {
            s.append(from.getName()).append(" is in ").append(one).append("; ").append(to.getName()).append(" is in ").append(other);
        }
        return s.append(')').toString();
    }

    private static String place(Class<?> c) {
        while (c.isArray() && c.getComponentType() != null) {
            c = c.getComponentType();
        }
        Module m = c.getModule();
        String module = m == null || !m.isNamed() ? "unnamed module" : "module " + m.getName();
        ClassLoader l = c.getClassLoader();
        if (l == null) {
            return module + " of loader 'bootstrap'";
        }
        if (l == ClassLoader.getPlatformClassLoader()) {
            return module + " of loader 'platform'";
        }
        return module + " of loader 'app'";
    }
}
