package features;

/** Features of the JDK: the language, reflection, method handles, threads, texts, files, networks, security, management, desktop. */
public final class Jdk extends Corpus {
    public Jdk() {
        Language.addTo(this::add);
        Calls.addTo(this::add);
        Texts.addTo(this::add);
        Files.addTo(this::add);
        Secrets.addTo(this::add);
        Platform.addTo(this::add);
    }

    /** Takes features. */
    interface Adder {
        void add(String name, Feature feature);
    }
}
