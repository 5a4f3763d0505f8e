package dev.cloudjit.image;

import com.oracle.svm.core.annotate.Alias;
import com.oracle.svm.core.annotate.Substitute;
import com.oracle.svm.core.annotate.TargetClass;
import com.oracle.svm.core.jdk.resources.CompressedGlobTrie.GlobTrieNode;
import java.util.List;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.BooleanSupplier;

/**
 * Remembers which names of resources the metadata's globs match. With exact metadata, an image asks them
 * about a name in every module of the JDK, twice in each, whenever a class loader looks for a
 * resource, found or not. With the globs of a web application that takes milliseconds, and Spring
 * looks for several with each link of a page.
 */
@TargetClass(className = ResourceGlobs.Known.TRIE, onlyWith = ResourceGlobs.Known.class)
final class ResourceGlobs {
    private ResourceGlobs() {}

    /** The globs are those of the image and never change, and neither does what they match. */
    @Substitute
    public static <C> boolean match(GlobTrieNode<C> root, String name) {
        Boolean known = Matched.NAMES.get(name);
        if (known == null) {
            known = !getAllMatchedNodes(root, name).isEmpty();
            if (Matched.NAMES.size() >= Matched.MOST) {
                Matched.NAMES.clear(); // names that come from requests never end
            }
            Matched.NAMES.put(name, known);
        }
        return known;
    }

    @Alias
    private static native <C> List<GlobTrieNode<C>> getAllMatchedNodes(GlobTrieNode<C> root, String name);

    /** Outside, for a substitution has no fields of its own. */
    static final class Matched {
        /** About two megabytes: a hundred names in sixty modules. */
        static final int MOST = 8192;

        static final ConcurrentHashMap<String, Boolean> NAMES = new ConcurrentHashMap<>();

        private Matched() {}
    }

    /** Whether the builder is one whose matching is the one that is replaced; others keep theirs. */
    static final class Known implements BooleanSupplier {
        static final String TRIE = "com.oracle.svm.core.jdk.resources.CompressedGlobTrie.CompressedGlobTrie";

        @Override
        public boolean getAsBoolean() {
            try {
                Class<?> trie = Class.forName(TRIE);
                return trie.getDeclaredMethod("match", GlobTrieNode.class, String.class).getReturnType() == boolean.class
                        && trie.getDeclaredMethod("getAllMatchedNodes", GlobTrieNode.class, String.class).getReturnType() == List.class;
            } catch (ReflectiveOperationException | LinkageError e) {
                return false;
            }
        }
    }
}
