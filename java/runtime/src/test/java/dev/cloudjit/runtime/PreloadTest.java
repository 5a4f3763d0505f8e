package dev.cloudjit.runtime;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.io.InputStream;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;

/** What is loaded before a worker is saved that has served nothing yet. */
class PreloadTest {
    private static final long SECOND = 1_000_000_000L;
    private static final List<String> initialized = new ArrayList<>();

    /** Names Far and a class that is not there; Far names Farther. */
    static class Near {
        static Object use() {
            return new Far();
        }
    }

    static class Far {
        static {
            initialized.add("Far");
        }

        final Object next = new Farther();
    }

    static class Farther {
        static {
            initialized.add("Farther");
        }
    }

    @Test
    void classesThatAreNamedAreLoadedAndNotInitialized() throws Exception {
        Loader loader = new Loader();
        Class<?> near = loader.loadClass(Near.class.getName());
        assertTrue(new Preload(100, SECOND).from(List.of(near)) >= 2);
        assertTrue(loader.loaded.containsAll(List.of(Far.class.getName(), Farther.class.getName())), loader.loaded.toString());
        assertEquals(List.of(), initialized);
    }

    @Test
    void itEndsAtTheLimitAndInTime() throws Exception {
        Loader loader = new Loader();
        assertEquals(1, new Preload(1, SECOND).from(List.of(loader.loadClass(Near.class.getName()))));
        assertFalse(loader.loaded.contains(Farther.class.getName()));
        assertEquals(0, new Preload(100, -1).from(List.of(new Loader().loadClass(Near.class.getName()))));
    }

    @Test
    void theClientItselfIsNotLookedThrough() {
        assertEquals(0, new Preload(100, SECOND).from(List.of(Main.class, String.class)));
    }

    /** Class files are the function's, and whatever it likes. */
    @Test
    void brokenClassFilesAreRefused() throws Exception {
        byte[] file;
        try (InputStream in = Near.class.getResourceAsStream("PreloadTest$Near.class")) {
            file = in.readAllBytes();
        }
        assertTrue(Preload.classes(file).contains(Far.class.getName()));
        for (int end = 0; end < 200; end++) {
            byte[] part = Arrays.copyOf(file, end);
            assertThrows(IOException.class, () -> Preload.classes(part));
        }
        Random random = new Random(1);
        for (int i = 0; i < 20_000; i++) {
            byte[] other = file.clone();
            for (int n = 0; n < 3; n++) {
                other[random.nextInt(300)] = (byte) random.nextInt();
            }
            try {
                Preload.classes(other);
            } catch (IOException | IndexOutOfBoundsException e) {
                // Refused: Preload goes on without it.
            }
        }
    }

    /** Loads the classes of this test again, so that they are not there yet. */
    private static final class Loader extends ClassLoader {
        final List<String> loaded = new ArrayList<>();

        Loader() {
            super(PreloadTest.class.getClassLoader());
        }

        @Override
        protected Class<?> loadClass(String name, boolean resolve) throws ClassNotFoundException {
            if (!name.startsWith(PreloadTest.class.getName() + "$") || findLoadedClass(name) != null) {
                return super.loadClass(name, resolve);
            }
            loaded.add(name);
            try (InputStream in = PreloadTest.class.getResourceAsStream(name.substring(name.lastIndexOf('.') + 1) + ".class")) {
                byte[] file = in.readAllBytes();
                return defineClass(name, file, 0, file.length);
            } catch (IOException e) {
                throw new ClassNotFoundException(name, e);
            }
        }
    }
}
