package features;

import java.io.StringReader;
import java.io.StringWriter;
import java.nio.charset.Charset;
import java.nio.charset.StandardCharsets;
import java.text.BreakIterator;
import java.text.ChoiceFormat;
import java.text.Collator;
import java.text.CompactNumberFormat;
import java.text.DateFormat;
import java.text.DateFormatSymbols;
import java.text.DecimalFormat;
import java.text.ListFormat;
import java.text.MessageFormat;
import java.text.Normalizer;
import java.text.NumberFormat;
import java.text.SimpleDateFormat;
import java.time.DayOfWeek;
import java.time.Duration;
import java.time.Instant;
import java.time.LocalDate;
import java.time.LocalDateTime;
import java.time.Month;
import java.time.Period;
import java.time.ZoneId;
import java.time.ZonedDateTime;
import java.time.chrono.HijrahDate;
import java.time.chrono.JapaneseDate;
import java.time.chrono.ThaiBuddhistDate;
import java.time.format.DateTimeFormatter;
import java.time.format.FormatStyle;
import java.time.format.TextStyle;
import java.time.temporal.ChronoUnit;
import java.time.temporal.WeekFields;
import java.util.Arrays;
import java.util.Calendar;
import java.util.Currency;
import java.util.Date;
import java.util.List;
import java.util.ListResourceBundle;
import java.util.Locale;
import java.util.Random;
import java.util.ResourceBundle;
import java.util.Scanner;
import java.util.StringJoiner;
import java.util.TimeZone;
import java.util.UUID;
import java.util.random.RandomGenerator;
import java.util.random.RandomGeneratorFactory;
import java.util.regex.Pattern;
import javax.xml.catalog.CatalogFeatures;
import javax.xml.datatype.DatatypeFactory;
import javax.xml.parsers.DocumentBuilderFactory;
import javax.xml.parsers.SAXParserFactory;
import javax.xml.stream.XMLInputFactory;
import javax.xml.stream.XMLOutputFactory;
import javax.xml.transform.OutputKeys;
import javax.xml.transform.TransformerFactory;
import javax.xml.transform.dom.DOMSource;
import javax.xml.transform.stream.StreamResult;
import javax.xml.transform.stream.StreamSource;
import javax.xml.validation.SchemaFactory;
import javax.xml.xpath.XPathFactory;
import org.w3c.dom.Document;
import org.xml.sax.InputSource;

/** Texts, locales, times, XML. */
final class Texts {
    private Texts() {}

    private static final ZonedDateTime TIME = ZonedDateTime.of(2024, 2, 29, 13, 5, 6, 0, ZoneId.of("Europe/Berlin"));
    private static final String ORDER = "<o id='1'><i p='2'>tea</i><i p='3'>jam</i></o>";

    /** A bundle that is a class. */
    public static class Classes extends ListResourceBundle {
        @Override
        protected Object[][] getContents() {
            return new Object[][] {{"greeting", "hello"}, {"number", 1}};
        }
    }

    /** Its German one. */
    public static class Classes_de extends ListResourceBundle {
        @Override
        protected Object[][] getContents() {
            return new Object[][] {{"greeting", "hallo"}};
        }
    }

    private static Document document() throws Exception {
        return DocumentBuilderFactory.newInstance().newDocumentBuilder().parse(new InputSource(new StringReader(ORDER)));
    }

    private static String formats(String tag) {
        Locale l = Locale.forLanguageTag(tag);
        return NumberFormat.getCurrencyInstance(l).format(1234.5) + "|" + NumberFormat.getPercentInstance(l).format(0.256) + "|"
                + DateTimeFormatter.ofLocalizedDateTime(FormatStyle.FULL, FormatStyle.SHORT).withLocale(l).format(TIME) + "|"
                + DateFormat.getDateInstance(DateFormat.LONG, l).format(Date.from(TIME.toInstant())) + "|" + DayOfWeek.MONDAY.getDisplayName(TextStyle.FULL, l);
    }

    private static String breaks(BreakIterator i, String text) {
        i.setText(text);
        StringJoiner at = new StringJoiner(",");
        for (int n = i.first(); n != BreakIterator.DONE; n = i.next()) {
            at.add(String.valueOf(n));
        }
        return at.toString();
    }

    private static String sorted(String tag, String... words) {
        Arrays.sort(words, Collator.getInstance(Locale.forLanguageTag(tag)));
        return String.join(" ", words);
    }

    static void addTo(Jdk.Adder to) {
        for (String tag : List.of("en-US", "de-DE", "fr-FR", "ja-JP", "ar-EG", "hi-IN", "pt-BR", "zh-CN")) {
            to.add("locale/formats-" + tag, () -> formats(tag));
        }
        to.add("locale/default", () -> Locale.getDefault() + " " + Locale.getDefault(Locale.Category.FORMAT) + " " + Charset.defaultCharset() + " " + TimeZone.getDefault().getID());
        to.add("locale/names", () -> Locale.GERMANY.getDisplayName(Locale.FRENCH) + Locale.JAPAN.getDisplayCountry(Locale.GERMAN) + Locale.forLanguageTag("sr-Latn-RS").getDisplayScript(Locale.ENGLISH));
        to.add("locale/available", () -> Locale.getAvailableLocales().length + " " + NumberFormat.getAvailableLocales().length);
        to.add("locale/iso", () -> Locale.getISOCountries().length + " " + Locale.getISOLanguages().length + Locale.of("de", "AT").getISO3Country());
        to.add("locale/lookup", () -> Locale.lookup(Locale.LanguageRange.parse("de-CH,fr;q=0.5"), List.of(Locale.GERMAN, Locale.FRENCH)) + " " + Locale.filter(Locale.LanguageRange.parse("*-CH"), List.of(Locale.of("de", "CH"), Locale.GERMANY)));
        to.add("locale/currency", () -> Currency.getInstance("EUR").getSymbol(Locale.GERMANY) + Currency.getInstance(Locale.JAPAN) + Currency.getInstance("USD").getDisplayName(Locale.FRENCH) + Currency.getAvailableCurrencies().size());
        to.add("locale/change-default", () -> {
            Locale before = Locale.getDefault();
            try {
                Locale.setDefault(Locale.ITALY);
                return String.format("%,.2f", 1234.5) + NumberFormat.getInstance().format(0.5);
            } finally {
                Locale.setDefault(before);
            }
        });
        to.add("locale/week", () -> WeekFields.of(Locale.US).getFirstDayOfWeek() + " " + WeekFields.of(Locale.GERMANY).getFirstDayOfWeek() + Calendar.getInstance(Locale.forLanguageTag("th-TH")).getClass().getSimpleName());
        to.add("locale/zone-names", () -> TimeZone.getTimeZone("America/New_York").getDisplayName(true, TimeZone.LONG, Locale.GERMAN) + ZoneId.of("Asia/Tokyo").getDisplayName(TextStyle.SHORT, Locale.FRENCH));

        to.add("text/collator", () -> sorted("de", "Zebra", "Äpfel", "apfel", "zebra") + " | " + sorted("sv", "Ö", "Z", "Å", "A"));
        to.add("text/words", () -> breaks(BreakIterator.getWordInstance(Locale.ENGLISH), "One, two. It's 3.5!"));
        to.add("text/sentences", () -> breaks(BreakIterator.getSentenceInstance(Locale.GERMAN), "Das ist gut. Z.B. so! Ja?"));
        to.add("text/thai-words", () -> breaks(BreakIterator.getWordInstance(Locale.forLanguageTag("th")), "ภาษาไทยง่ายนิดเดียว"));
        to.add("text/lines", () -> breaks(BreakIterator.getLineInstance(Locale.JAPAN), "日本語のテキスト。次の行"));
        to.add("text/characters", () -> breaks(BreakIterator.getCharacterInstance(), "e\u0301a👨‍👩‍👧z"));
        to.add("text/normalizer", () -> Normalizer.normalize("é ﬁ Å", Normalizer.Form.NFKD).length() + Normalizer.normalize("e\u0301", Normalizer.Form.NFC));
        to.add("text/message-format", () -> MessageFormat.format("{0,number,#.##} {1} {2,choice,0#none|1#one|1<{2}} {3,date,yyyy}", 1.239, "x", 5, new Date(0)));
        to.add("text/message-format-locale", () -> new MessageFormat("{0,number} {0,number,percent}", Locale.GERMANY).format(new Object[] {1234.5}));
        to.add("text/decimal-format", () -> new DecimalFormat("#,##0.00;(#)").format(-1234.567) + new DecimalFormat("0.###E0").format(12345));
        to.add("text/compact-number", () -> NumberFormat.getCompactNumberInstance(Locale.GERMANY, NumberFormat.Style.LONG).format(1_200_000) + ((CompactNumberFormat) NumberFormat.getCompactNumberInstance(Locale.US, NumberFormat.Style.SHORT)).format(12345));
        to.add("text/choice-format", () -> new ChoiceFormat("0#a|1#b|2#c").format(1.5));
        to.add("text/list-format", () -> ListFormat.getInstance(Locale.FRANCE, ListFormat.Type.STANDARD, ListFormat.Style.FULL).format(List.of("a", "b", "c")));
        to.add("text/parse-number", () -> NumberFormat.getInstance(Locale.FRANCE).parse("1 234,5") + " " + NumberFormat.getInstance(Locale.US).parse("1,234.5"));
        to.add("text/parse-fails", () -> NumberFormat.getInstance(Locale.US).parse("x"));
        to.add("text/simple-date", () -> {
            SimpleDateFormat f = new SimpleDateFormat("EEEE d MMMM yyyy HH:mm z", Locale.FRANCE);
            f.setTimeZone(TimeZone.getTimeZone("Europe/Paris"));
            return f.format(new Date(0)) + f.parse("lundi 1 janvier 2024 10:00 CET").getTime();
        });
        to.add("text/date-symbols", () -> Arrays.toString(DateFormatSymbols.getInstance(Locale.forLanguageTag("es")).getMonths()));
        to.add("text/regex", () -> Pattern.compile("(?<year>\\d{4})-(\\d\\d)").matcher("on 2024-02 and 2025-03").replaceAll(m -> m.group(2) + "/" + m.group("year")) + Pattern.compile("\\p{IsGreek}+\\p{Lu}").matcher("αβA").find() + Pattern.compile("\\bü", Pattern.UNICODE_CHARACTER_CLASS | Pattern.CASE_INSENSITIVE).matcher("x Ü").find());
        to.add("text/regex-wrong", () -> Pattern.compile("a(b"));
        to.add("text/unicode-names", () -> Character.getName('ä') + Character.codePointOf("GREEK SMALL LETTER ALPHA") + Character.UnicodeScript.of('д') + Character.UnicodeBlock.of('中'));
        to.add("text/scanner", () -> {
            Scanner s = new Scanner("12 3,5 true rest").useLocale(Locale.GERMANY);
            return s.nextInt() + s.nextDouble() + " " + s.nextBoolean() + s.nextLine();
        });
        to.add("text/charsets", () -> {
            StringJoiner all = new StringJoiner(" ");
            for (String name : List.of("windows-1252", "ISO-8859-15", "Shift_JIS", "GB18030", "EUC-KR", "IBM037", "UTF-32", "Big5")) {
                all.add(java.util.HexFormat.of().formatHex("aé中".getBytes(Charset.forName(name))));
            }
            return all;
        });
        to.add("text/charset-unknown", () -> Charset.forName("no-such"));
        to.add("text/charset-count", () -> Charset.availableCharsets().size() > 100);
        to.add("text/bidi", () -> new java.text.Bidi("abc אבג def", java.text.Bidi.DIRECTION_LEFT_TO_RIGHT).getRunCount());
        to.add("text/attributed", () -> {
            var s = new java.text.AttributedString("text");
            s.addAttribute(java.text.AttributedCharacterIterator.Attribute.LANGUAGE, Locale.FRENCH, 1, 2);
            return s.getIterator().getAllAttributeKeys();
        });

        to.add("bundles/properties", () -> ResourceBundle.getBundle("features.Words", Locale.ROOT).getString("greeting"));
        to.add("bundles/properties-de", () -> ResourceBundle.getBundle("features.Words", Locale.GERMANY).getString("greeting"));
        to.add("bundles/properties-fr", () -> ResourceBundle.getBundle("features.Words", Locale.FRANCE).getString("greeting") + ResourceBundle.getBundle("features.Words", Locale.FRANCE).getString("only"));
        to.add("bundles/properties-de-at", () -> ResourceBundle.getBundle("features.Words", Locale.forLanguageTag("de-AT")).getString("greeting"));
        to.add("bundles/classes", () -> ResourceBundle.getBundle("features.Texts$Classes", Locale.ENGLISH).getObject("number"));
        to.add("bundles/classes-de", () -> ResourceBundle.getBundle("features.Texts$Classes", Locale.GERMAN).getString("greeting"));
        to.add("bundles/missing", () -> ResourceBundle.getBundle("features.Nothing"));
        to.add("bundles/missing-key", () -> ResourceBundle.getBundle("features.Words", Locale.GERMAN).getString("no"));
        to.add("bundles/control", () -> ResourceBundle.getBundle("features.Words", Locale.ITALY, ResourceBundle.Control.getNoFallbackControl(ResourceBundle.Control.FORMAT_PROPERTIES)).getLocale());

        to.add("time/arithmetic", () -> Period.between(LocalDate.of(2023, 1, 31), LocalDate.of(2024, 2, 29)) + " " + Duration.between(Instant.EPOCH, Instant.ofEpochSecond(100_000)) + ChronoUnit.WEEKS.between(LocalDate.EPOCH, LocalDate.of(2024, 1, 1)) + Month.FEBRUARY.maxLength());
        to.add("time/zones", () -> ZonedDateTime.of(LocalDateTime.of(2024, 3, 31, 2, 30), ZoneId.of("Europe/Berlin")) + " " + ZoneId.of("America/Sao_Paulo").getRules().getOffset(Instant.EPOCH) + ZoneId.getAvailableZoneIds().contains("Asia/Kathmandu"));
        to.add("time/zone-unknown", () -> ZoneId.of("Mars/Base"));
        to.add("time/patterns", () -> DateTimeFormatter.ofPattern("EEE, d MMM uuuu HH:mm:ss VV xxx", Locale.US).format(TIME) + DateTimeFormatter.RFC_1123_DATE_TIME.format(TIME) + DateTimeFormatter.ISO_WEEK_DATE.format(TIME));
        to.add("time/parse-fails", () -> LocalDate.parse("2024-02-30"));
        to.add("time/calendars", () -> JapaneseDate.of(2024, 2, 29) + " " + HijrahDate.from(LocalDate.of(2024, 2, 29)) + " " + ThaiBuddhistDate.of(2567, 2, 28));
        to.add("time/calendar-formats", () -> DateTimeFormatter.ofPattern("GGGG y MMMM d", Locale.JAPAN).withChronology(java.time.chrono.JapaneseChronology.INSTANCE).format(LocalDate.of(2024, 2, 29)));
        to.add("time/old-calendar", () -> {
            Calendar c = new Calendar.Builder().setDate(2024, Calendar.FEBRUARY, 29).setTimeZone(TimeZone.getTimeZone("UTC")).setLocale(Locale.US).build();
            c.add(Calendar.YEAR, 1);
            return c.getTime().toInstant() + " " + c.getDisplayName(Calendar.MONTH, Calendar.LONG, Locale.GERMAN) + c.getWeeksInWeekYear();
        });

        to.add("util/uuid", () -> UUID.nameUUIDFromBytes("x".getBytes()) + " " + UUID.fromString("123e4567-e89b-12d3-a456-426614174000").version());
        to.add("util/random", () -> new Random(42).nextInt(1000) + " " + new java.util.SplittableRandom(1).nextInt(100) + " " + RandomGenerator.of("L64X128MixRandom").getClass().getSimpleName());
        to.add("util/random-factories", () -> RandomGeneratorFactory.all().map(RandomGeneratorFactory::name).sorted().toList());
        to.add("util/properties", () -> {
            var p = new java.util.Properties();
            p.load(new StringReader("a = 1\\\n 2\n# c\nb:\\u00e4"));
            var out = new java.io.ByteArrayOutputStream();
            p.storeToXML(out, null);
            return new java.util.TreeMap<>(p) + " " + out.toString(StandardCharsets.UTF_8).contains("<entry key=\"b\">");
        });
        to.add("util/base64-hex", () -> java.util.Base64.getMimeEncoder().encodeToString(new byte[60]).length() + java.util.HexFormat.ofDelimiter(":").withUpperCase().formatHex(new byte[] {1, -1}));
        to.add("util/string-template-concat", () -> "x" + 1 + 2L + 'c' + 1.5f + null + true + new int[0].length);
        to.add("util/hash-codes", () -> "text".hashCode() + " " + List.of(1, 2).hashCode() + " " + java.util.Objects.hash(1, "a") + " " + Double.hashCode(1.5) + Arrays.hashCode(new int[] {1}));
        to.add("util/formatter-errors", () -> String.format("%d", "x"));

        to.add("xml/dom", () -> document().getElementsByTagName("i").item(1).getTextContent() + document().getDocumentElement().getAttribute("id"));
        to.add("xml/dom-write", () -> {
            var t = TransformerFactory.newInstance().newTransformer();
            t.setOutputProperty(OutputKeys.INDENT, "yes");
            t.setOutputProperty(OutputKeys.OMIT_XML_DECLARATION, "yes");
            var w = new StringWriter();
            t.transform(new DOMSource(document()), new StreamResult(w));
            return w;
        });
        to.add("xml/sax", () -> {
            StringJoiner said = new StringJoiner(",");
            SAXParserFactory.newInstance().newSAXParser().parse(new InputSource(new StringReader(ORDER)), new org.xml.sax.helpers.DefaultHandler() {
                @Override
                public void startElement(String uri, String local, String name, org.xml.sax.Attributes a) {
                    said.add(name + a.getLength());
                }
            });
            return said;
        });
        to.add("xml/sax-malformed", () -> {
            SAXParserFactory.newInstance().newSAXParser().parse(new InputSource(new StringReader("<a><b></a>")), new org.xml.sax.helpers.DefaultHandler());
            return "";
        });
        to.add("xml/stax", () -> {
            var r = XMLInputFactory.newInstance().createXMLStreamReader(new StringReader(ORDER));
            int n = 0;
            while (r.hasNext()) {
                n += r.next();
            }
            var w = new StringWriter();
            var x = XMLOutputFactory.newInstance().createXMLStreamWriter(w);
            x.writeStartElement("a");
            x.writeCharacters("<&");
            x.writeEndElement();
            x.flush();
            return n + w.toString();
        });
        to.add("xml/xpath", () -> XPathFactory.newInstance().newXPath().evaluate("sum(/o/i/@p) * count(//i)", document()));
        to.add("xml/xslt", () -> {
            var t = TransformerFactory.newInstance().newTransformer(new StreamSource(new StringReader(
                    "<xsl:stylesheet version='1.0' xmlns:xsl='http://www.w3.org/1999/XSL/Transform'><xsl:output omit-xml-declaration='yes'/><xsl:template match='/o'><ul><xsl:for-each select='i'><li><xsl:value-of select='.'/></li></xsl:for-each></ul></xsl:template></xsl:stylesheet>")));
            var w = new StringWriter();
            t.transform(new StreamSource(new StringReader(ORDER)), new StreamResult(w));
            return w;
        });
        to.add("xml/schema", () -> {
            var s = SchemaFactory.newInstance("http://www.w3.org/2001/XMLSchema").newSchema(new StreamSource(new StringReader(
                    "<xs:schema xmlns:xs='http://www.w3.org/2001/XMLSchema'><xs:element name='n' type='xs:int'/></xs:schema>")));
            s.newValidator().validate(new StreamSource(new StringReader("<n>1</n>")));
            s.newValidator().validate(new StreamSource(new StringReader("<n>x</n>")));
            return "";
        });
        to.add("xml/dtd-error", () -> {
            var f = DocumentBuilderFactory.newInstance();
            f.setFeature("http://apache.org/xml/features/disallow-doctype-decl", true);
            return f.newDocumentBuilder().parse(new InputSource(new StringReader("<!DOCTYPE a><a/>")));
        });
        to.add("xml/datatypes", () -> DatatypeFactory.newInstance().newXMLGregorianCalendar("2024-02-29T10:00:00Z").toGregorianCalendar().getTimeInMillis() + " " + DatatypeFactory.newInstance().newDuration("P1DT2H"));
        to.add("xml/load-save", () -> ((org.w3c.dom.ls.DOMImplementationLS) document().getImplementation().getFeature("LS", "3.0")).createLSSerializer().writeToString(document().getDocumentElement()));
        to.add("xml/catalog", () -> CatalogFeatures.defaults().get(CatalogFeatures.Feature.RESOLVE));
        to.add("xml/errors-in-german", () -> {
            Locale before = Locale.getDefault();
            try {
                Locale.setDefault(Locale.GERMANY);
                return DocumentBuilderFactory.newInstance().newDocumentBuilder().parse(new InputSource(new StringReader("<a")));
            } finally {
                Locale.setDefault(before);
            }
        });
    }
}
