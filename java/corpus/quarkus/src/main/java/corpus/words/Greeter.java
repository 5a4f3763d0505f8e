package corpus.words;

import org.eclipse.microprofile.config.inject.ConfigProperty;

import jakarta.enterprise.context.ApplicationScoped;

@ApplicationScoped
public class Greeter {
    @ConfigProperty(name = "words.greeting")
    String greeting;

    public String greet(String name) {
        return greeting + ", " + (name == null ? "world" : name);
    }
}
