package documents;

import jakarta.enterprise.context.ApplicationScoped;
import java.io.IOException;
import java.io.InputStream;
import java.util.Map;
import java.util.TreeMap;
import org.apache.tika.exception.TikaException;
import org.apache.tika.io.TikaInputStream;
import org.apache.tika.metadata.Metadata;
import org.apache.tika.metadata.TikaCoreProperties;
import org.apache.tika.parser.AutoDetectParser;
import org.apache.tika.parser.ParseContext;
import org.apache.tika.sax.BodyContentHandler;
import org.xml.sax.SAXException;

@ApplicationScoped
public class Converter {
    private final AutoDetectParser parser = new AutoDetectParser();

    public Conversion convert(InputStream document, String name) throws IOException, TikaException, SAXException {
        Metadata metadata = new Metadata();
        if (name != null) {
            metadata.set(TikaCoreProperties.RESOURCE_NAME_KEY, name);
        }
        BodyContentHandler text = new BodyContentHandler(-1);
        try (TikaInputStream in = TikaInputStream.get(document)) {
            parser.parse(in, text, metadata, new ParseContext());
        }
        Map<String, String> shown = new TreeMap<>();
        put(shown, "title", metadata.get(TikaCoreProperties.TITLE));
        put(shown, "author", metadata.get(TikaCoreProperties.CREATOR));
        put(shown, "pages", metadata.get("xmpTPg:NPages"));
        return new Conversion(metadata.get(Metadata.CONTENT_TYPE), text.toString().strip(), shown);
    }

    private static void put(Map<String, String> shown, String name, String value) {
        if (value != null && !value.isBlank()) {
            shown.put(name, value);
        }
    }
}
