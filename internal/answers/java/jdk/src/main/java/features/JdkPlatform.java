package features;

/** Features of the JDK's libraries around the program: files, networks, security, management, desktop. */
public final class JdkPlatform extends Corpus {
    public JdkPlatform() {
        Files.addTo(this::add);
        Secrets.addTo(this::add);
        Platform.addTo(this::add);
    }
}
