package cloudjit.builder;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * An option of the command that stands for an option of the builder, as the builder's jars declare it.
 *
 * @param name         what the user writes, dashes included
 * @param runtime      an option of the image (-R:) rather than of its build (-H:)
 * @param target       the builder's name for it
 * @param kind         '+' and '-' switch it on or off, '=' gives it a value
 * @param separators   what may stand between name and value: '=', ':', 's' for a new argument, 'n' for nothing
 * @param defaultValue the value when none is written; null: one must be written
 * @param fixedValue   the value, and none may be written; null: see defaultValue
 * @param template     each element of a value takes the place of '*' in it
 * @param extra        too special for the short help
 * @param deprecated   why it should not be used; empty: it may
 * @param help         one sentence
 */
record Option(String name, boolean runtime, String target, char kind, String separators, String defaultValue,
        String fixedValue, String template, boolean extra, String deprecated, String help) {

    /** Reads the table that was written when the builder was assembled. */
    static Map<String, Option> read(Path table) throws IOException {
        Map<String, Option> options = new LinkedHashMap<>();
        for (String line : Files.readAllLines(table)) {
            String[] f = line.split("\t", -1);
            options.put(f[0], new Option(f[0], f[1].equals("R"), f[2], f[3].charAt(0), f[4], unquoted(f[5]),
                    unquoted(f[6]), f[7], f[9].equals("extra"), f[10], f[11]));
        }
        return options;
    }

    private static String unquoted(String field) {
        return field.isEmpty() ? null : field.substring(1);
    }

    boolean takesValue() {
        return kind == '=' && fixedValue == null;
    }

    boolean allows(char separator) {
        return separators.indexOf(separator) >= 0;
    }

    /** The argument for the builder; origin says who gave the option. */
    String builderArgument(String value, String origin) {
        String prefix = runtime ? "-R:" : "-H:";
        if (kind != '=') {
            return prefix + kind + target + "@" + origin;
        }
        String given = fixedValue != null ? fixedValue : value;
        return prefix + target + "@" + origin + "=" + transformed(given);
    }

    private String transformed(String value) {
        if (template.equals("*")) {
            return value;
        }
        List<String> elements = new ArrayList<>();
        for (String element : value.split(",")) {
            elements.add(template.replace("*", element));
        }
        return String.join(",", elements);
    }
}
