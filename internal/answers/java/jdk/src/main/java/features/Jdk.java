package features;

/** Features of the language, of reflection, method handles, threads, texts and resources. */
public final class Jdk extends Corpus {
    public Jdk() {
        Language.addTo(this::add);
        Calls.addTo(this::add);
        Texts.addTo(this::add);
    }

    /** Takes features. */
    interface Adder {
        void add(String name, Feature feature);
    }
}
