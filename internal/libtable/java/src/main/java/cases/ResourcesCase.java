package cases;

import java.io.InputStream;
import java.net.URL;
import java.nio.charset.StandardCharsets;
import java.util.Collections;
import java.util.Properties;

/** Files of the class path: there, not there, several, relative, with odd names. */
final class ResourcesCase implements Case {
    @Override
    public void run() throws Exception {
        ClassLoader loader = Thread.currentThread().getContextClassLoader();
        for (String name : new String[] {"data/a.txt", "data/none.txt", "data/with space.txt", "data/sta*r.txt", "/data/a.txt", "logback.xml"}) {
            try (InputStream in = loader.getResourceAsStream(name)) {
                System.out.println(name + " " + (in == null ? "none" : new String(in.readAllBytes(), StandardCharsets.UTF_8).lines().findFirst().orElse("")));
            }
        }
        System.out.println(ResourcesCase.class.getResource("/data/a.txt") != null);
        System.out.println(ResourcesCase.class.getResource("a.txt"));
        System.out.println(Collections.list(loader.getResources("data/a.txt")).size());
        Properties properties = new Properties();
        try (InputStream in = ResourcesCase.class.getResourceAsStream("/data/app.properties")) {
            properties.load(in);
        }
        System.out.println(properties.getProperty("key"));
        URL url = ClassLoader.getSystemResource("data/a.txt");
        try (InputStream in = url.openStream()) {
            System.out.println(in.readAllBytes().length);
        }
        try (InputStream in = Object.class.getResourceAsStream("/java/lang/" + "Object.class".trim())) {
            System.out.println(in != null);
        }
    }
}
