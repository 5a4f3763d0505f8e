package dev.cloudjit.tracer.test;

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.ObjectInputStream;
import java.io.ObjectOutputStream;
import java.io.Serializable;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.MethodType;
import java.lang.reflect.Array;
import java.lang.reflect.Field;
import java.lang.reflect.InvocationHandler;
import java.lang.reflect.Proxy;
import java.lang.reflect.RecordComponent;
import java.util.ArrayList;
import java.util.List;
import java.util.MissingResourceException;
import java.util.ResourceBundle;
import java.util.ServiceLoader;
import java.util.concurrent.atomic.AtomicIntegerFieldUpdater;

/** A program that does everything the tracer watches, and prints what it sees. */
public final class Sample {
    private Sample() {}

    record Point(int x, List<String> tags) implements Serializable {}

    interface Greeter {
        String greet(String name);

        default String twice(String name) {
            return greet(name) + greet(name);
        }
    }

    sealed interface Shape permits Circle {}

    record Circle(double radius) implements Shape {}

    public static class Bean extends Base {
        private final int fixed;
        volatile int counter;

        public Bean() {
            fixed = Integer.getInteger("none", 1);
        }
    }

    public static class Base {
        public String inherited() {
            return "inherited";
        }
    }

    public static class Loaded {}

    public static class Linked {}

    enum Colour { RED }

    public static void main(String[] arguments) throws Throwable {
        byName();
        members();
        handles();
        others();
        serialization();
        if (arguments.length > 0 && arguments[0].equals("halt")) {
            Runtime.getRuntime().halt(0);
        }
        if (arguments.length > 0 && arguments[0].equals("hang")) {
            System.out.println("ready");
            System.out.flush();
            Thread.sleep(60_000);
        }
    }

    private static void byName() throws Exception {
        for (String name : new String[] {"no.such.Type", "", "a/b", "[Ljava.lang.String;", "[[I", "dev.cloudjit.tracer.test.Sample$Bean"}) {
            try {
                System.out.println(Class.forName(name));
            } catch (ClassNotFoundException e) {
                System.out.println(e.getMessage() + " at " + e.getStackTrace()[e.getStackTrace().length - 2].getMethodName());
            }
        }
        System.out.println(Sample.class.getClassLoader().loadClass("dev.cloudjit.tracer.test.Sample$Loaded"));
        System.out.println(new Linked().getClass().getSimpleName()); // the JVM loads this one
        System.out.println(Colour.valueOf("RED"));
    }

    private static void members() throws Exception {
        Object bean = Bean.class.getConstructor().newInstance();
        System.out.println(Bean.class.getMethod("inherited").invoke(bean));
        Field fixed = Bean.class.getDeclaredField("fixed");
        fixed.setAccessible(true);
        fixed.setInt(bean, 7);
        System.out.println(fixed.getInt(bean));
        for (RecordComponent component : Circle.class.getRecordComponents()) {
            System.out.println(component.getAccessor().invoke(new Circle(1)));
        }
        System.out.println(Shape.class.getPermittedSubclasses().length);
        try {
            System.out.println(Thread.class.getMethod("noSuchMethod"));
        } catch (NoSuchMethodException e) {
            System.out.println(e.getMessage());
        }
        System.out.println(Array.newInstance(Bean.class, 2, 2).getClass());
        System.out.println(AtomicIntegerFieldUpdater.newUpdater(Bean.class, "counter").incrementAndGet((Bean) bean));
    }

    private static void handles() throws Throwable {
        MethodHandles.Lookup lookup = MethodHandles.lookup();
        System.out.println((String) lookup.findVirtual(Bean.class, "inherited", MethodType.methodType(String.class)).invoke(new Bean()));
        System.out.println((int) lookup.findStatic(Integer.class, "parseInt", MethodType.methodType(int.class, String.class)).invoke("5"));
        System.out.println(lookup.findConstructor(StringBuilder.class, MethodType.methodType(void.class, int.class)).invoke(4));
        System.out.println((int) lookup.findVarHandle(Bean.class, "counter", int.class).get(new Bean()));
    }

    private static void others() throws Exception {
        Greeter greeter = (Greeter) Proxy.newProxyInstance(Sample.class.getClassLoader(), new Class<?>[] {Greeter.class}, (p, m, a) -> m.isDefault() ? InvocationHandler.invokeDefault(p, m, a) : m.getName() + a[0]);
        System.out.println(greeter.greet("you") + greeter.twice("you"));
        System.out.println(java.text.NumberFormat.getInstance(java.util.Locale.forLanguageTag("de-AT-u-nu-latn")).format(1234.5));
        System.out.println(java.net.URI.create("http://host/x").toURL().getProtocol());
        System.out.println(Sample.class.getResource("none.txt"));
        System.out.println(Sample.class.getClassLoader().getResource("java/lang/Object.class"));
        System.out.println(ClassLoader.getSystemResource("a*b.txt"));
        System.out.println(ServiceLoader.load(Greeter.class).findFirst());
        try {
            ResourceBundle.getBundle("no.Bundle");
        } catch (MissingResourceException e) {
            System.out.println(e.getMessage());
        }
    }

    private static void serialization() throws Exception {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        try (ObjectOutputStream out = new ObjectOutputStream(bytes)) {
            out.writeObject(new ArrayList<>(List.of(new Point(3, List.of("a")), 4L)));
            out.writeObject((Runnable & Serializable) () -> System.out.println("ran"));
        }
        try (ObjectInputStream in = new ObjectInputStream(new ByteArrayInputStream(bytes.toByteArray()))) {
            System.out.println(in.readObject());
            ((Runnable) in.readObject()).run();
        }
    }
}
