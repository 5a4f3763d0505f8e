package corpus.notes;

import org.springframework.boot.context.properties.ConfigurationProperties;

@ConfigurationProperties("notes")
public record NotesProperties(String greeting, int limit) {
}
