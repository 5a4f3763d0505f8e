package features;

import java.lang.annotation.Retention;
import java.lang.annotation.RetentionPolicy;
import java.lang.invoke.LambdaMetafactory;
import java.lang.invoke.MethodHandle;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.MethodType;
import java.net.URI;
import java.net.URLClassLoader;
import java.nio.file.FileSystems;
import java.text.BreakIterator;
import java.text.MessageFormat;
import java.text.NumberFormat;
import java.time.DayOfWeek;
import java.time.LocalDate;
import java.time.format.DateTimeFormatter;
import java.time.format.FormatStyle;
import java.time.format.TextStyle;
import java.util.ArrayList;
import java.util.Calendar;
import java.util.HexFormat;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.ResourceBundle;
import java.util.TimeZone;
import java.util.function.Function;
import java.util.function.Supplier;

/** A few features, of which a binary is made quickly: what the patches of the builder are for, and what has no signal without them. */
public final class JdkFew extends Corpus {
    public enum Colour {
        RED
    }

    @Retention(RetentionPolicy.RUNTIME)
    public @interface Label {
        String text();

        int number() default 7;

        Class<?>[] types() default {};
    }

    @Label(text = "labelled", types = {String.class, int[].class})
    public static class Item {
        public String name = "item";
        private int count = 3;

        public Item() {}

        public void setCount(int count) {
            this.count = count;
        }

        public int getCount() {
            return count;
        }
    }

    /** A loader of the program that defines what its parent would have. */
    private static final class Own extends ClassLoader {
        private final byte[] bytes;

        Own(byte[] bytes) {
            super(JdkFew.class.getClassLoader());
            this.bytes = bytes;
        }

        @Override
        protected Class<?> findClass(String name) {
            return defineClass(name, bytes, 0, bytes.length);
        }
    }

    /** What is asked of a lookup so that it cannot be told when the image is built. */
    private static String computed(String... parts) {
        return String.join("", parts);
    }

    private static List<Integer> breaks(BreakIterator b, String text) {
        b.setText(text);
        List<Integer> at = new ArrayList<>();
        for (int i = b.first(); i != BreakIterator.DONE; i = b.next()) {
            at.add(i);
        }
        return at;
    }

    /** A class file: public class Made without members. */
    private static final byte[] MADE = HexFormat.of().parseHex("cafebabe0000003d00050100044d6164650700010100106a6176612f6c616e672f4f626a6563740700030021000200040000000000000000");

    public JdkFew() {
        add("few/class-missing", () -> Class.forName("features.NoSuch"));
        add("few/class-missing-computed", () -> Class.forName(computed("features.", "NoSuchEither")));
        add("few/method-missing", () -> Item.class.getMethod("noSuch", String.class));
        add("few/field-missing", () -> Item.class.getDeclaredField("noSuch"));
        add("few/constructor-missing", () -> Item.class.getConstructor(String.class, int.class));
        add("few/enum-missing", () -> Colour.valueOf(computed("BLU", "E")));
        add("few/enum-of-jdk-missing", () -> DayOfWeek.valueOf(computed("HOLI", "DAY")));
        add("few/enum-null", () -> Colour.valueOf(computed("x").equals("x") ? null : "RED"));
        add("few/argument-of-another-type", () -> Item.class.getMethod("setCount", int.class).invoke(new Item(), "text"));
        add("few/receiver-of-another-type", () -> Item.class.getMethod("getCount").invoke("text"));
        add("few/cast", () -> (Comparable<?>) (Object) new Item());
        add("few/field-by-computed-name", () -> Item.class.getField(computed("na", "me")).get(new Item()));
        add("few/annotation", () -> Item.class.getAnnotation(Label.class));

        add("few/properties", () -> System.getProperty("my.flag") + System.getProperty("my.other") + System.getProperty("sun.java.command") + System.getProperty("jdk.debug") + System.getProperty("user.language") + System.getProperty("file.encoding") + System.getProperty("java.io.tmpdir"));
        add("few/class-path", () -> System.getProperty("java.class.path"));
        add("few/library-path", () -> List.of(System.getProperty("java.library.path").split(":")).containsAll(List.of("/var/task", "/var/task/lib")) + System.getenv("LD_LIBRARY_PATH"));
        add("few/code-source", () -> JdkFew.class.getProtectionDomain().getCodeSource().getLocation());

        add("few/locales", () -> Locale.getAvailableLocales().length + " " + NumberFormat.getAvailableLocales().length + Calendar.getAvailableLocales().length);
        add("few/calendar-of-thailand", () -> Calendar.getInstance(TimeZone.getTimeZone("UTC"), Locale.forLanguageTag("th-TH")).getCalendarType());
        add("few/calendar-of-japan", () -> Calendar.getInstance(Locale.forLanguageTag("ja-JP-u-ca-japanese")).getClass().getName());
        add("few/words", () -> breaks(BreakIterator.getWordInstance(Locale.ENGLISH), "Two words, or three."));
        add("few/words-of-thai", () -> breaks(BreakIterator.getWordInstance(Locale.forLanguageTag("th")), "สวัสดีครับ"));
        add("few/lines-of-thai", () -> breaks(BreakIterator.getLineInstance(Locale.forLanguageTag("th-TH")), "ภาษาไทย ง่าย"));
        add("few/numbers-de", () -> NumberFormat.getCurrencyInstance(Locale.GERMANY).format(1234.5) + NumberFormat.getInstance(Locale.FRANCE).format(1234567.891));
        add("few/dates-fr", () -> DateTimeFormatter.ofLocalizedDate(FormatStyle.FULL).withLocale(Locale.FRANCE).format(LocalDate.of(2024, 2, 29)) + DayOfWeek.MONDAY.getDisplayName(TextStyle.FULL, Locale.JAPAN));
        add("few/message-format", () -> new MessageFormat("{0,number} {1}", Locale.GERMANY).format(new Object[] {1234.5, "x"}));

        add("few/bundle-of-locale", () -> ResourceBundle.getBundle("features.Words", Locale.forLanguageTag(computed("de", "-AT"))).getString("greeting"));
        add("few/bundle-missing", () -> ResourceBundle.getBundle(computed("features.", "NoWords")));
        add("few/resource-missing", () -> JdkFew.class.getResource(computed("/log4j2-test", Integer.toHexString(Item.class.getName().hashCode()), ".properties")));
        add("few/folder", () -> {
            URI uri = JdkFew.class.getResource("/features/folder/one.txt").toURI();
            try (var fs = FileSystems.newFileSystem(uri, Map.of()); var files = java.nio.file.Files.list(fs.getPath("/features/folder"))) {
                return files.map(f -> f.getFileName().toString()).sorted().toList();
            }
        });

        add("few/file-system-missing", () -> java.nio.file.Path.of(JdkFew.class.getResource("/features/folder/one.txt").toURI()));
        add("few/library-missing", () -> {
            System.loadLibrary("no-such-library");
            return "loaded";
        });

        add("few/url-jar", () -> URI.create("jar:file:/tmp/none.jar!/a").toURL().getProtocol());
        add("few/url-ftp", () -> URI.create("ftp://localhost/a").toURL().getDefaultPort());
        add("few/url-mailto", () -> URI.create("mailto:a@b.c").toURL().getPath());
        add("few/url-unknown", () -> URI.create("nothing://x").toURL());
        add("few/providers", () -> java.security.Security.getProvider("SUN").getName() + java.security.Security.getProvider("none"));

        add("few/metafactory", () -> {
            MethodHandles.Lookup l = MethodHandles.lookup();
            MethodHandle trim = l.findVirtual(String.class, "trim", MethodType.methodType(String.class));
            try {
                @SuppressWarnings("unchecked")
                var f = (Function<Object, Object>) LambdaMetafactory.metafactory(l, "apply", MethodType.methodType(Function.class), MethodType.methodType(Object.class, Object.class), trim,
                        MethodType.methodType(String.class, String.class)).getTarget().invoke();
                return f.apply(" made ");
            } catch (Throwable t) {
                return "went on without";
            }
        });
        add("few/own-loader", () -> {
            try {
                return new Own(MADE).loadClass("Made").getName();
            } catch (Throwable t) {
                return "went on without " + t;
            }
        });
        add("few/own-loader-missing", () -> new URLClassLoader(new java.net.URL[0], JdkFew.class.getClassLoader()).loadClass("features.NoSuchAnywhere"));
        add("few/lambda", () -> ((Supplier<String>) () -> computed("la", "mbda")).get());
        add("few/serialized", () -> {
            var bytes = new java.io.ByteArrayOutputStream();
            try (var out = new java.io.ObjectOutputStream(bytes)) {
                out.writeObject(new ArrayList<>(List.of(Colour.RED, LocalDate.of(2024, 2, 29))));
            }
            return new java.io.ObjectInputStream(new java.io.ByteArrayInputStream(bytes.toByteArray())).readObject();
        });
    }
}
