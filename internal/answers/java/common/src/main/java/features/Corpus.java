package features;

import com.amazonaws.services.lambda.runtime.Context;
import com.amazonaws.services.lambda.runtime.RequestHandler;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * A function of many small features. The event is the name of one; the answer is what it gave, or the error that it
 * ended with. "" is the names of all, one a line; "nothing" is a feature that does nothing.
 *
 * <p>A feature gives the same answer in each run on HotSpot, and it does not depend on which others ran before.
 */
public abstract class Corpus implements RequestHandler<String, String> {
    /** One feature. */
    @FunctionalInterface
    public interface Feature {
        Object call() throws Throwable;
    }

    private final Map<String, Feature> features = new LinkedHashMap<>();

    /** Adds a feature; its name is AREA/WHAT, of letters, digits and hyphens. */
    protected final void add(String name, Feature feature) {
        if (features.put(name, feature) != null) {
            throw new IllegalStateException("two features named " + name);
        }
    }

    /** The text of an object whose hashes differ from run to run. */
    protected static String withoutHashes(Object o) {
        return String.valueOf(o).replaceAll("@[0-9a-f]+", "@...");
    }

    @Override
    public final String handleRequest(String name, Context context) {
        if (name.isEmpty()) {
            return String.join("\n", features.keySet());
        }
        if (name.equals("nothing")) {
            return "nothing";
        }
        Feature feature = features.get(name);
        if (feature == null) {
            return "no feature " + name;
        }
        try {
            return String.valueOf(feature.call());
        } catch (Throwable t) {
            StringBuilder text = new StringBuilder("threw ");
            for (Throwable c = t; c != null; c = c.getCause()) {
                text.append(c == t ? "" : " because of ").append(c);
            }
            return text.toString();
        }
    }
}
