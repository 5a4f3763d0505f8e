package cloudjit.builder;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;

/** Cuts text into arguments: argument files, the Args of native-image.properties, NATIVE_IMAGE_OPTIONS. */
final class Words {
    private static final int MAX_NESTED_FILES = 16;

    private Words() {
    }

    /**
     * Replaces each {@code @file} by the arguments in the file, by the rules of the java launcher: blanks
     * separate, quotes group, a backslash escapes within quotes, # starts a comment. {@code @@x} is a plain "@x".
     */
    static List<String> expand(List<String> arguments) {
        return expand(arguments, new ArrayDeque<>());
    }

    private static List<String> expand(List<String> arguments, Deque<Path> open) {
        List<String> result = new ArrayList<>();
        for (String argument : arguments) {
            if (argument.startsWith("@@")) {
                result.add(argument.substring(1));
            } else if (argument.startsWith("@") && argument.length() > 1) {
                Path file = Path.of(argument.substring(1));
                if (open.size() == MAX_NESTED_FILES || open.contains(file)) {
                    throw new Failure("argument file " + file + " is nested too deep or contains itself");
                }
                open.push(file);
                try {
                    result.addAll(expand(split(Files.readString(file)), open));
                } catch (IOException e) {
                    throw new Failure("cannot read argument file " + file + ": " + e.getMessage());
                }
                open.pop();
            } else {
                result.add(argument);
            }
        }
        return result;
    }

    static List<String> split(String text) {
        List<String> words = new ArrayList<>();
        StringBuilder word = null;
        char quote = 0;
        for (int i = 0; i < text.length(); i++) {
            char c = text.charAt(i);
            if (quote != 0) {
                if (c == quote) {
                    quote = 0;
                } else if (c == '\\' && i + 1 < text.length()) {
                    i = escaped(text, i + 1, word);
                } else if (c == '\n' || c == '\r') {
                    quote = 0; // as the launcher does: an open quote ends with its line
                    words.add(word.toString());
                    word = null;
                } else {
                    word.append(c);
                }
            } else if (Character.isWhitespace(c)) {
                if (word != null) {
                    words.add(word.toString());
                    word = null;
                }
            } else if (c == '#' && word == null) {
                while (i + 1 < text.length() && text.charAt(i + 1) != '\n') {
                    i++;
                }
            } else {
                word = word == null ? new StringBuilder() : word;
                if (c == '"' || c == '\'') {
                    quote = c;
                } else {
                    word.append(c);
                }
            }
        }
        if (word != null) {
            words.add(word.toString());
        }
        return words;
    }

    /** Takes the escape at i; returns the index of its last character. */
    private static int escaped(String text, int i, StringBuilder word) {
        switch (text.charAt(i)) {
            case 'n' -> word.append('\n');
            case 'r' -> word.append('\r');
            case 't' -> word.append('\t');
            case 'f' -> word.append('\f');
            case '\n', '\r' -> {
                int next = i + 1;
                while (next < text.length() && Character.isWhitespace(text.charAt(next))) {
                    next++;
                }
                return next - 1;
            }
            default -> word.append(text.charAt(i));
        }
        return i;
    }
}
