package cases;

import java.util.ServiceLoader;

/** Services: several providers, a provider method, none at all. */
final class ServiceLoading implements Case {
    public interface Greeting {
        String text();
    }

    public static class Plain implements Greeting {
        @Override
        public String text() {
            return "plain";
        }
    }

    public static class Other implements Greeting {
        @Override
        public String text() {
            return "other";
        }
    }

    public interface Nobody {}

    @Override
    public void run() throws Exception {
        for (Greeting greeting : ServiceLoader.load(Greeting.class)) {
            System.out.println(greeting.text());
        }
        @SuppressWarnings("unchecked")
        Class<Object> nobody = (Class<Object>) Class.forName("cases.ServiceLoading$" + "Nobody".trim());
        System.out.println(ServiceLoader.load(nobody).findFirst().isPresent());
        System.out.println(ServiceLoader.load(Greeting.class, null).findFirst().isPresent());
    }
}
