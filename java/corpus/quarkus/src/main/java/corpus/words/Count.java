package corpus.words;

import java.util.Map;

public record Count(int words, Map<String, Integer> frequency) {
}
