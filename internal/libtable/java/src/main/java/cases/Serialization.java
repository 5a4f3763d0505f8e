package cases;

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.Externalizable;
import java.io.IOException;
import java.io.ObjectInput;
import java.io.ObjectInputStream;
import java.io.ObjectOutput;
import java.io.ObjectOutputStream;
import java.io.Serializable;
import java.lang.reflect.InvocationHandler;
import java.lang.reflect.Method;
import java.lang.reflect.Proxy;
import java.math.BigDecimal;
import java.time.LocalDate;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.List;
import java.util.TreeMap;
import java.util.function.Function;

/** Object streams: collections, records, enums, externalizable, replaced, lambdas, proxies, exceptions. */
final class Serialization implements Case {
    enum Colour { RED, GREEN }

    record Point(int x, List<String> tags) implements Serializable {}

    static class Base {
        String fromBase = "set by the constructor";
    }

    static class Node extends Base implements Serializable {
        int value = 4;
        transient String lost = "lost";
        Node next;
        Object[] many = {1, "two", 3.0, new int[] {4}};

        private void writeObject(ObjectOutputStream out) throws IOException {
            out.defaultWriteObject();
            out.writeUTF("extra");
        }

        private void readObject(ObjectInputStream in) throws IOException, ClassNotFoundException {
            in.defaultReadObject();
            lost = in.readUTF();
        }
    }

    public static class External implements Externalizable {
        private String text = "none";

        public External() {}

        @Override
        public void writeExternal(ObjectOutput out) throws IOException {
            out.writeObject("text");
        }

        @Override
        public void readExternal(ObjectInput in) throws IOException, ClassNotFoundException {
            text = (String) in.readObject();
        }
    }

    static final class Single implements Serializable {
        static final Single ONE = new Single();

        private Object readResolve() {
            return ONE;
        }
    }

    interface Named {
        String name();
    }

    record Handler(String answer) implements InvocationHandler, Serializable {
        @Override
        public Object invoke(Object proxy, Method method, Object[] arguments) {
            return method.getName() + answer;
        }
    }

    @Override
    public void run() throws Exception {
        Node node = new Node();
        node.next = new Node();
        node.next.fromBase = "changed";
        EnumMap<Colour, BigDecimal> prices = new EnumMap<>(Colour.class);
        prices.put(Colour.GREEN, new BigDecimal("1.50"));
        List<Object> all = new ArrayList<>(List.of(new Point(1, List.of("a", "b")), node, new External(), Single.ONE, prices, LocalDate.EPOCH,
                new TreeMap<>(java.util.Map.of("k", 1L)), new IllegalStateException("kept"),
                (Function<String, String> & Serializable) s -> s + "!",
                Proxy.newProxyInstance(Serialization.class.getClassLoader(), new Class<?>[] {Named.class}, new Handler("?"))));
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        try (ObjectOutputStream out = new ObjectOutputStream(bytes)) {
            out.writeObject(all);
        }
        List<?> back;
        try (ObjectInputStream in = new ObjectInputStream(new ByteArrayInputStream(bytes.toByteArray()))) {
            back = (List<?>) in.readObject();
        }
        Node copy = (Node) back.get(1);
        System.out.println(back.get(0) + " " + copy.value + copy.lost + copy.next.fromBase + copy.many.length + ((int[]) copy.many[3])[0]);
        System.out.println(((External) back.get(2)).text + " " + (back.get(3) == Single.ONE) + " " + back.get(4) + " " + back.get(5) + " " + back.get(6) + " " + back.get(7));
        @SuppressWarnings("unchecked")
        Function<String, String> lambda = (Function<String, String>) back.get(8);
        System.out.println(lambda.apply("lambda") + " " + ((Named) back.get(9)).name());
    }
}
