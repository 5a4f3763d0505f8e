package com.oracle.svm.core.jdk;

import com.oracle.svm.core.hub.DynamicHub;
import java.text.NumberFormat;
import java.util.Calendar;
import java.util.Locale;
import java.util.TimeZone;

/** What the builder's patched classes ({@code dev.cloudjit.image.Patcher}) answer as HotSpot does. */
public final class CloudJitAnswers {
    private CloudJitAnswers() {}

    /** Those of the JDK that the image is built by: the class is initialized then. Only images that ask for them keep them. */
    private static final Locale[] LOCALES = Locale.getAvailableLocales();

    /** The same in the order that classes of formats have them. */
    private static final Locale[] LOCALES_OF_FORMATS = NumberFormat.getAvailableLocales();

    /** All locales that HotSpot has. A binary that has no formats of one of them says so when they are asked for. */
    public static Locale[] locales() {
        return LOCALES.clone();
    }

    /** The locales that a class of formats lists. */
    public static Locale[] localesOfFormats() {
        return LOCALES_OF_FORMATS.clone();
    }

    /** The calendar of a locale, as Calendar.createCalendar makes it: Buddhist in Thailand, and what the locale asks for. */
    public static Calendar calendar(TimeZone zone, Locale locale) {
        try {
            return now(new Calendar.Builder(), zone, locale);
        } catch (IllegalArgumentException e) { // it asks for one that there is not
            String place = locale.getLanguage() + "_" + locale.getCountry();
            boolean imperial = place.equals("ja_JP") && locale.getVariant().equals("JP");
            return now(new Calendar.Builder().setCalendarType(place.equals("th_TH") ? "buddhist" : imperial ? "japanese" : "gregory"), zone, locale);
        }
    }

    private static Calendar now(Calendar.Builder b, TimeZone zone, Locale locale) {
        return b.setLocale(locale).setTimeZone(zone).setInstant(System.currentTimeMillis()).build();
    }

    /** Stands for {@code Enum.valueOf}, whose message names a nested enum with a dot. */
    public static Enum<?> enumConstant(Class<?> type, String name) {
        Object[] constants = DynamicHub.fromClass(type).getEnumConstantsShared();
        if (constants == null) {
            throw new IllegalArgumentException(type.getName() + " is not an enum class");
        }
        for (Object c : constants) {
            if (((Enum<?>) c).name().equals(name)) {
                return (Enum<?>) c;
            }
        }
        if (name == null) {
            throw new NullPointerException("Name is null");
        }
        throw new IllegalArgumentException("No enum constant " + type.getCanonicalName() + "." + name);
    }

    /** A message without the sentence by which the builder says that it is its own. */
    public static String plain(String message) {
        int at = message.indexOf(". This exception was synthesized during native image building");
        return at < 0 ? message : message.substring(0, at);
    }

    /** HotSpot's message of a reflective call on an object of another class. */
    public static String receiver(String type, String declaring) {
        return "object of type " + type + " is not an instance of " + declaring;
    }

    /** HotSpot's message of a library that is nowhere; the builder's lists the folders otherwise. */
    public static String noLibrary(String name, String folders) {
        return "no " + name + " in java.library.path: " + System.getProperty("java.library.path");
    }
}
