package cases;

import java.lang.reflect.Array;
import java.lang.reflect.Constructor;
import java.lang.reflect.Field;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.util.Arrays;
import java.util.concurrent.atomic.AtomicReferenceFieldUpdater;

/** Names that are known only at run time. */
final class Reflection implements Case {
    public static class Plugin {
        private String secret = "s";
        volatile String state = "new";
        public static int count;

        public Plugin() {
            count++;
        }

        private Plugin(String secret, int[] numbers) {
            this.secret = secret + Arrays.toString(numbers);
        }

        public String call(String a, long b) {
            return secret + a + b;
        }

        static void fail() {
            throw new IllegalStateException("failed");
        }
    }

    record Pair(int left, String right) {}

    sealed interface Tree permits Leaf, Node {}

    record Leaf(int value) implements Tree {}

    record Node(Tree left, Tree right) implements Tree {}

    enum Mode { FAST, SLOW }

    private static String hide(String s) {
        return new StringBuilder(s).reverse().toString();
    }

    @Override
    public void run() throws Exception {
        Class<?> plugin = Class.forName(hide("nigulP$noitcelfeR.sesac"));
        Object o = plugin.getDeclaredConstructor().newInstance();
        System.out.println(plugin.getMethod(hide("llac"), String.class, long.class).invoke(o, "x", 4L));
        Constructor<?> hidden = plugin.getDeclaredConstructor(String.class, int[].class);
        hidden.setAccessible(true);
        System.out.println(plugin.getMethod(hide("llac"), String.class, long.class).invoke(hidden.newInstance("t", new int[] {1}), "y", 5L));
        Field secret = plugin.getDeclaredField(hide("terces"));
        secret.setAccessible(true);
        secret.set(o, "changed");
        System.out.println(secret.get(o) + " " + plugin.getField(hide("tnuoc")).getInt(null));
        Method fail = plugin.getDeclaredMethod(hide("liaf"));
        try {
            fail.invoke(null);
        } catch (InvocationTargetException e) {
            System.out.println(e.getCause().getMessage());
        }
        for (var component : Class.forName(hide("riaP$noitcelfeR.sesac")).getRecordComponents()) {
            System.out.println(component.getName() + " " + component.getType() + " " + component.getAccessor().invoke(new Pair(1, "r")));
        }
        System.out.println(Arrays.stream(Class.forName(hide("eerT$noitcelfeR.sesac")).getPermittedSubclasses()).map(Class::getSimpleName).sorted().toList());
        System.out.println(Arrays.toString(Class.forName(hide("edoM$noitcelfeR.sesac")).getEnumConstants()) + Mode.valueOf(hide("WOLS")));
        Object array = Array.newInstance(plugin, 2);
        System.out.println(array.getClass() + " " + Class.forName("[[Lcases.Reflection$Plugin;") + " " + Array.newInstance(plugin, 1, 1).getClass());
        System.out.println(Arrays.stream(plugin.getDeclaredMethods()).map(Method::getName).sorted().toList());
        System.out.println(Arrays.stream(plugin.getFields()).map(Field::getName).sorted().toList());
        @SuppressWarnings("unchecked")
        var updater = AtomicReferenceFieldUpdater.newUpdater((Class<Plugin>) plugin, String.class, hide("etats"));
        System.out.println(updater.getAndSet((Plugin) o, "old") + ((Plugin) o).state);
        Object list = Class.forName(hide("tsiLyarrA.litu.avaj")).getConstructor().newInstance();
        Class.forName(hide("tsiL.litu.avaj")).getMethod("add", Object.class).invoke(list, "e");
        System.out.println(list);
    }
}
