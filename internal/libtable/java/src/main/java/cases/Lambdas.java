package cases;

import java.lang.reflect.Method;
import java.util.Arrays;
import java.util.Comparator;
import java.util.function.Function;
import java.util.function.IntSupplier;
import java.util.function.Supplier;

/** What frameworks look up of a lambda's class: interfaces, methods, and a call through reflection. */
final class Lambdas implements Case {
    private static final Function<String, Integer> LENGTH = String::length;
    private final Supplier<String> own = () -> "own " + getClass().getSimpleName();

    @Override
    public void run() throws Exception {
        int captured = 3 + System.lineSeparator().length() - 1;
        IntSupplier capturing = () -> captured * 14;
        for (Object lambda : new Object[] {capturing, LENGTH, own, made(), Comparator.<String>naturalOrder().reversed(), Function.identity()}) {
            Class<?> c = lambda.getClass();
            System.out.println(c.isSynthetic() + " " + Arrays.toString(c.getInterfaces()) + " " + c.isAnnotationPresent(Deprecated.class));
            // As Spring does: which of the class' methods is the interface's?
            Method[] methods = c.getInterfaces()[0].getMethods();
            Arrays.sort(methods, Comparator.comparing(Method::toString));
            for (Method method : methods) {
                try {
                    System.out.println("  " + c.getDeclaredMethod(method.getName(), method.getParameterTypes()).getName());
                } catch (NoSuchMethodException e) {
                    // a default method
                }
            }
        }
        Method get = capturing.getClass().getDeclaredMethod("getAs" + "Int".trim());
        get.setAccessible(true);
        System.out.println(get.invoke(capturing));
    }

    private static Runnable made() {
        return () -> System.out.println("made");
    }
}
