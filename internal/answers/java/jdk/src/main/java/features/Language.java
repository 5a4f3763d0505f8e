package features;

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.Externalizable;
import java.io.ObjectInput;
import java.io.ObjectInputFilter;
import java.io.ObjectInputStream;
import java.io.ObjectOutput;
import java.io.ObjectOutputStream;
import java.io.Serializable;
import java.lang.annotation.ElementType;
import java.lang.annotation.Repeatable;
import java.lang.annotation.Retention;
import java.lang.annotation.RetentionPolicy;
import java.lang.annotation.Target;
import java.lang.reflect.Array;
import java.lang.reflect.GenericArrayType;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.lang.reflect.Modifier;
import java.lang.reflect.ParameterizedType;
import java.lang.reflect.Proxy;
import java.lang.reflect.TypeVariable;
import java.lang.reflect.WildcardType;
import java.math.BigDecimal;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.BitSet;
import java.util.Comparator;
import java.util.EnumMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.function.Function;
import java.util.function.Supplier;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import java.util.stream.Stream;

/** What the language and reflection do. */
final class Language {
    private Language() {}

    enum Size {
        SMALL, LARGE {
            @Override
            int factor() {
                return 10;
            }
        };

        int factor() {
            return 1;
        }
    }

    record Point(int x, int y) implements Serializable {
        Point {
            if (x < 0) {
                throw new IllegalArgumentException("x is " + x);
            }
        }
    }

    record Pair<A, B extends Comparable<B>>(A first, @Mark("second") B second) {}

    sealed interface Shape permits Circle, Square {}

    record Circle(double r) implements Shape {}

    record Square(double side) implements Shape {}

    @Retention(RetentionPolicy.RUNTIME)
    @Target({ElementType.TYPE, ElementType.METHOD, ElementType.FIELD, ElementType.PARAMETER, ElementType.RECORD_COMPONENT, ElementType.TYPE_USE})
    @interface Mark {
        String value() default "none";

        int[] numbers() default {1, 2};

        Size size() default Size.LARGE;

        Class<?> type() default Point.class;
    }

    @Retention(RetentionPolicy.RUNTIME)
    @Repeatable(Tags.class)
    @interface Tag {
        String value();
    }

    @Retention(RetentionPolicy.RUNTIME)
    @interface Tags {
        Tag[] value();
    }

    @Mark("bean")
    @Tag("a")
    @Tag("b")
    public static class Bean implements Serializable {
        private static final long serialVersionUID = 7;
        public String name = "n";
        private int count = 3;
        protected transient String secret = "s";
        @Mark
        private List<Map<String, ? super Integer>> nested;

        public Bean() {}

        private Bean(String name, int count) {
            this.name = name;
            this.count = count;
        }

        @Mark(value = "greet", numbers = {})
        public <T extends Number & Comparable<T>> String greet(@Mark("p") String who, T[] many, List<? extends T> some) throws java.io.IOException {
            return "hello " + who;
        }

        private int hidden(int by) {
            return count * by;
        }

        public int getCount() {
            return count;
        }

        public void setCount(int count) {
            this.count = count;
        }
    }

    public static class Derived extends Bean {
        public boolean isDerived() {
            return true;
        }
    }

    public static class External implements Externalizable {
        int value;

        public External() {}

        @Override
        public void writeExternal(ObjectOutput out) throws java.io.IOException {
            out.writeInt(value + 1);
        }

        @Override
        public void readExternal(ObjectInput in) throws java.io.IOException {
            value = in.readInt();
        }
    }

    static class Replaced implements Serializable {
        private Object writeReplace() {
            return new Point(8, 9);
        }
    }

    interface Greeter {
        String greet(String name);

        default String twice(String name) {
            return greet(name) + greet(name);
        }
    }

    interface SerializableSupplier<T> extends Supplier<T>, Serializable {}

    static byte[] serialized(Object o) throws Exception {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        try (ObjectOutputStream out = new ObjectOutputStream(bytes)) {
            out.writeObject(o);
        }
        return bytes.toByteArray();
    }

    static Object copy(Object o) throws Exception {
        return new ObjectInputStream(new ByteArrayInputStream(serialized(o))).readObject();
    }

    private static String area(Shape shape) {
        return switch (shape) {
            case Circle(double r) when r > 1 -> "large circle";
            case Circle c -> "circle of " + c.r();
            case Square(var side) -> "square " + side * side;
        };
    }

    private static String names(Stream<String> names) {
        return names.sorted().collect(Collectors.joining(" "));
    }

    static void addTo(Jdk.Adder to) {
        to.add("language/records", () -> new Point(1, 2) + " " + new Point(1, 2).equals(new Point(1, 2)) + " " + new Pair<>("a", 1).hashCode());
        to.add("language/sealed-patterns", () -> area(new Circle(2)) + area(new Circle(0.5)) + area(new Square(3)));
        to.add("language/enums", () -> Arrays.toString(Size.values()) + Size.valueOf("LARGE").factor() + Size.LARGE.getDeclaringClass().getSimpleName());
        to.add("language/enum-unknown", () -> Size.valueOf("HUGE"));
        to.add("language/switch-on-strings", () -> Stream.of("a", "Aa", "BB", "c").map(s -> switch (s) {
            case "Aa" -> 1;
            case "BB" -> 2;
            default -> 0;
        }).toList());
        to.add("language/text-formatting", () -> String.format("%5.2f|%-6s|%06d|%x|%,d|%e|%b|%c|%s", 3.14159, "ab", 42, 255, 1234567, 12345.678, true, 'x', List.of(1)));
        to.add("language/null-pointer-message", () -> {
            Bean bean = new Bean();
            bean.name = null;
            return bean.name.length();
        });
        to.add("language/class-cast-message", () -> {
            Object o = "text";
            return (Integer) o;
        });
        to.add("language/array-index-message", () -> {
            int[] array = new int[2];
            return array[Integer.parseInt("5")];
        });
        to.add("language/array-store-message", () -> {
            Object[] array = new Integer[1];
            array[0] = "x";
            return array;
        });
        to.add("language/negative-array-message", () -> new int[Integer.parseInt("-2")]);
        to.add("language/division-message", () -> 1 / Integer.parseInt("0"));
        to.add("language/match-without-case", () -> {
            try {
                Class<?> c = Class.forName("features.Nowhere");
                return c;
            } catch (ClassNotFoundException e) {
                return e.getMessage();
            }
        });
        to.add("language/record-constructor-fails", () -> new Point(-1, 0));
        to.add("language/initializer-fails", () -> {
            List<String> said = new ArrayList<>();
            for (int i = 0; i < 2; i++) {
                try {
                    said.add(String.valueOf(Uninitialized.VALUE));
                } catch (Throwable t) {
                    said.add(t.getClass().getSimpleName() + ": " + t.getMessage());
                }
            }
            return said;
        });
        to.add("language/stack-trace", () -> {
            StackTraceElement[] trace = new Throwable().getStackTrace();
            return trace[0].getClassName() + " " + trace[0].getFileName() + " " + (trace[0].getLineNumber() > 0);
        });
        to.add("language/stack-walker", () -> StackWalker.getInstance(StackWalker.Option.RETAIN_CLASS_REFERENCE)
                .walk(frames -> frames.map(f -> f.getDeclaringClass().getSimpleName()).filter(n -> n.equals("Language") || n.equals("Jdk") || n.equals("Corpus")).toList()));
        to.add("language/assertions", () -> {
            boolean on = false;
            assert on = true;
            return on;
        });
        to.add("language/suppressed", () -> {
            try (AutoCloseable c = () -> {
                throw new IllegalStateException("closing");
            }) {
                throw new Exception("body");
            } catch (Exception e) {
                return e + Arrays.toString(e.getSuppressed());
            }
        });
        to.add("language/stack-overflow", () -> {
            try {
                return deep(0);
            } catch (StackOverflowError e) {
                return "StackOverflowError " + e.getMessage();
            }
        });
        to.add("language/identity-names", () -> new Object().toString().startsWith("java.lang.Object@") + " " + new int[0].getClass() + " " + ((Function<String, String>) String::trim).getClass().isHidden());
        to.add("language/module", () -> String.class.getModule() + " " + Language.class.getModule().isNamed() + " " + java.sql.Connection.class.getModule().getName());
        to.add("language/package", () -> Language.class.getPackage() + " " + String.class.getPackage().getImplementationTitle());
        to.add("language/strings", () -> "a\tb".translateEscapes() + " x ".strip() + "l\nm".lines().toList() + "ab".repeat(2) + "ß".toUpperCase() + "%d".formatted(3) + "x".compareTo("y"));
        to.add("language/big-numbers", () -> new BigDecimal("1.10").multiply(new BigDecimal("3")).toPlainString() + " " + Double.toString(1e21) + " " + Float.toString(1.1f) + " " + Math.fma(1.1, 2.2, 3.3) + " " + StrictMath.sin(1) + " " + Math.pow(1.1, 10));
        to.add("language/streams", () -> IntStream.rangeClosed(1, 50).boxed().parallel().collect(Collectors.groupingBy(i -> i % 3, TreeMap::new, Collectors.summingInt(i -> i))));
        to.add("language/collections", () -> new TreeSet<Integer>(Comparator.reverseOrder()) {{
            addAll(List.of(3, 1, 2));
        }} + " " + new EnumMap<>(Map.of(Size.SMALL, 1)) + BitSet.valueOf(new long[] {5}) + Optional.of(1) + new LinkedHashMap<>(Map.of("k", 1)).reversed());

        to.add("reflection/fields-by-name", () -> {
            var f = Class.forName("features.Language$Bean").getDeclaredField("count");
            f.setAccessible(true);
            Bean bean = new Bean("b", 5);
            f.setInt(bean, 6);
            return f.get(bean) + " " + Modifier.toString(f.getModifiers()) + " " + f.toGenericString();
        });
        to.add("reflection/all-fields", () -> names(Arrays.stream(Derived.class.getSuperclass().getDeclaredFields()).map(f -> f.toGenericString())));
        to.add("reflection/all-methods", () -> names(Arrays.stream(Bean.class.getDeclaredMethods()).map(Method::toGenericString)));
        to.add("reflection/public-methods", () -> names(Arrays.stream(Derived.class.getMethods()).map(Method::getName).distinct()));
        to.add("reflection/declared-order", () -> Arrays.stream(Point.class.getRecordComponents()).map(Object::toString).toList());
        to.add("reflection/order-of-methods", () -> Arrays.stream(Bean.class.getDeclaredMethods()).map(Method::getName).toList());
        to.add("reflection/order-of-constructors", () -> Arrays.toString(Bean.class.getDeclaredConstructors()));
        to.add("reflection/private-method", () -> {
            Method m = Bean.class.getDeclaredMethod("hidden", int.class);
            m.setAccessible(true);
            return m.invoke(new Bean("x", 4), 5);
        });
        to.add("reflection/private-constructor", () -> {
            var c = Bean.class.getDeclaredConstructor(String.class, int.class);
            c.setAccessible(true);
            return ((Bean) c.newInstance("made", 2)).name;
        });
        to.add("reflection/method-missing", () -> Bean.class.getMethod("nothing", String.class));
        to.add("reflection/wrong-argument", () -> Bean.class.getMethod("setCount", int.class).invoke(new Bean(), "text"));
        to.add("reflection/target-fails", () -> {
            try {
                return Point.class.getDeclaredConstructor(int.class, int.class).newInstance(-5, 1);
            } catch (InvocationTargetException e) {
                return e.getCause().getMessage();
            }
        });
        to.add("reflection/generics", () -> {
            Method greet = Arrays.stream(Bean.class.getMethods()).filter(m -> m.getName().equals("greet")).findFirst().orElseThrow();
            TypeVariable<?> t = greet.getTypeParameters()[0];
            return t + Arrays.toString(t.getBounds()) + Arrays.toString(greet.getGenericParameterTypes())
                    + (greet.getGenericParameterTypes()[1] instanceof GenericArrayType)
                    + ((WildcardType) ((ParameterizedType) greet.getGenericParameterTypes()[2]).getActualTypeArguments()[0]).getUpperBounds()[0];
        });
        to.add("reflection/annotation-values", () -> {
            Mark m = Bean.class.getAnnotation(Mark.class);
            return m.value() + Arrays.toString(m.numbers()) + m.size() + m.type().getSimpleName() + m.annotationType().getSimpleName();
        });
        to.add("reflection/annotation-text", () -> Bean.class.getAnnotation(Mark.class));
        to.add("reflection/annotations-repeated", () -> Bean.class.getAnnotationsByType(Tag.class).length + " " + Bean.class.getAnnotation(Tags.class));
        to.add("reflection/annotation-equals", () -> Bean.class.getAnnotation(Mark.class).equals(Bean.class.getAnnotation(Mark.class)) + " " + (Bean.class.getAnnotation(Mark.class).hashCode() == Bean.class.getAnnotation(Mark.class).hashCode()));
        to.add("reflection/parameter-annotations", () -> Arrays.deepToString(Pair.class.getRecordComponents()[1].getAnnotations()).contains("second") + " " + Pair.class.getRecordComponents()[1].getGenericType());
        to.add("reflection/parameter-names", () -> Arrays.stream(Bean.class.getMethods()).filter(m -> m.getName().equals("setCount")).map(m -> m.getParameters()[0].toString()).toList());
        to.add("reflection/record-components", () -> Arrays.stream(Pair.class.getRecordComponents()).map(c -> c.getName() + ":" + c.getGenericType() + ":" + c.getAccessor().getName()).toList());
        to.add("reflection/permitted-subclasses", () -> names(Arrays.stream(Shape.class.getPermittedSubclasses()).map(Class::getSimpleName)) + Shape.class.isSealed());
        to.add("reflection/nested-classes", () -> names(Arrays.stream(Language.class.getDeclaredClasses()).map(Class::getSimpleName)) + Point.class.getNestHost().getSimpleName());
        to.add("reflection/enclosing", () -> {
            Object anonymous = new Object() {};
            return anonymous.getClass().getEnclosingClass().getSimpleName() + " " + anonymous.getClass().isAnonymousClass() + " " + Bean.class.getDeclaringClass().getSimpleName();
        });
        to.add("reflection/arrays", () -> {
            Object array = Array.newInstance(Class.forName("features.Language$Point"), 2);
            Array.set(array, 0, new Point(1, 1));
            return array.getClass() + " " + Array.getLength(array) + Array.get(array, 0) + Class.forName("[[Lfeatures.Language$Size;").getComponentType() + Class.forName("[I").getSimpleName();
        });
        to.add("reflection/class-by-computed-name", () -> {
            String name = String.join(".", "java", "util", new StringBuilder("tsiLyarrA").reverse());
            return ((List<?>) Class.forName(name).getDeclaredConstructor().newInstance()).size();
        });
        to.add("reflection/class-hierarchy", () -> names(Arrays.stream(ArrayList.class.getInterfaces()).map(Class::getName)) + Derived.class.getSuperclass().getSimpleName() + Modifier.toString(Shape.class.getModifiers()));
        to.add("reflection/generic-super", () -> new ArrayList<String>() {}.getClass().getGenericSuperclass());
        to.add("reflection/jdk-private-field", () -> {
            var f = String.class.getDeclaredField("value");
            try {
                f.setAccessible(true);
                return f;
            } catch (RuntimeException e) {
                return Corpus.withoutHashes(e);
            }
        });
        to.add("reflection/proxy", () -> {
            Greeter g = (Greeter) Proxy.newProxyInstance(Language.class.getClassLoader(), new Class<?>[] {Greeter.class, Comparable.class},
                    (p, m, a) -> m.isDefault() ? java.lang.reflect.InvocationHandler.invokeDefault(p, m, a) : m.getName() + Arrays.toString(a));
            return g.greet("x") + g.twice("y") + Proxy.isProxyClass(g.getClass()) + (g instanceof Comparable);
        });
        to.add("reflection/lambda-interfaces", () -> {
            Runnable r = (Runnable & Serializable) () -> {};
            return names(Arrays.stream(r.getClass().getInterfaces()).map(Class::getSimpleName)) + r.getClass().isSynthetic();
        });

        to.add("serialization/bean", () -> {
            Bean b = (Bean) copy(new Bean("ser", 9));
            return b.name + b.count + b.secret;
        });
        to.add("serialization/record", () -> copy(new Point(4, 5)));
        to.add("serialization/enum-and-collections", () -> copy(new TreeMap<>(Map.of(Size.LARGE, new ArrayList<>(List.of(1, "x", new BigDecimal("2")))))));
        to.add("serialization/externalizable", () -> {
            External e = new External();
            e.value = 4;
            return ((External) copy(e)).value;
        });
        to.add("serialization/replaced", () -> copy(new Replaced()));
        to.add("serialization/lambda", () -> {
            String captured = "captured";
            SerializableSupplier<String> s = () -> captured + "!";
            return ((Supplier<?>) copy(s)).get();
        });
        to.add("serialization/proxy", () -> Proxy.isProxyClass(copy(Proxy.newProxyInstance(Language.class.getClassLoader(), new Class<?>[] {Greeter.class}, new Handler())).getClass()));
        to.add("serialization/not-serializable", () -> copy(new Object()));
        to.add("serialization/filter", () -> {
            ObjectInputStream in = new ObjectInputStream(new ByteArrayInputStream(serialized(new Point(1, 1))));
            in.setObjectInputFilter(ObjectInputFilter.Config.createFilter("java.base/*;!*"));
            return in.readObject();
        });
        to.add("serialization/throwable", () -> ((Throwable) copy(new IllegalStateException("msg", new Exception("cause")))).getCause().getMessage());
        to.add("serialization/dates", () -> copy(List.of(java.time.LocalDate.of(2024, 2, 29), java.time.ZonedDateTime.of(2024, 1, 1, 0, 0, 0, 0, java.time.ZoneId.of("Europe/Berlin")))));
        to.add("serialization/serial-version", () -> java.io.ObjectStreamClass.lookup(Bean.class).getSerialVersionUID() + " " + java.io.ObjectStreamClass.lookup(Point.class).getSerialVersionUID());
    }

    private static int deep(int n) {
        return deep(n + 1) + 1;
    }

    static final class Handler implements java.lang.reflect.InvocationHandler, Serializable {
        @Override
        public Object invoke(Object proxy, Method method, Object[] args) {
            return null;
        }
    }

    static final class Uninitialized {
        static final int VALUE = Integer.parseInt("none");
    }
}
