package documents;

import java.util.Map;

/** What a document turned out to be. */
public record Conversion(String type, String text, Map<String, String> metadata) {}
