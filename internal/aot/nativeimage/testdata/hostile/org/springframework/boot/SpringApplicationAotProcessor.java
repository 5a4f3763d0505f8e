package org.springframework.boot;

import java.nio.charset.Charset;
import java.nio.file.Files;
import java.nio.file.Path;

/** In the place of Spring's, which runs the application's beans: the arguments are its. */
public final class SpringApplicationAotProcessor {
    public static void main(String[] arguments) throws Exception {
        Files.createDirectories(Path.of(arguments[1]));
        Files.writeString(Path.of(arguments[1], "Generated.java"), "class Generated {}");
        evil.Exploit.outputFolder(arguments[1]);
        String what = System.getenv("EVIL_TAKES");
        if (what != null) {
            evil.Exploit.take(what);
            return;
        }
        evil.Exploit.run("spring");
        Charset.availableCharsets(); // looks for providers
    }
}
