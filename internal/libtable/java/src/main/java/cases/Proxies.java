package cases;

import java.io.Closeable;
import java.lang.reflect.InvocationHandler;
import java.lang.reflect.Method;
import java.lang.reflect.Proxy;
import java.util.Arrays;
import java.util.Comparator;

/** Dynamic proxies of one and several interfaces, own and of the JDK. */
final class Proxies implements Case {
    interface Service {
        String call(int n);

        default String twice(int n) {
            return call(n) + call(n);
        }
    }

    @interface Unused {}

    @Override
    public void run() throws Exception {
        InvocationHandler handler = (proxy, method, arguments) -> method.isDefault()
                ? InvocationHandler.invokeDefault(proxy, method, arguments)
                : method.getName() + Arrays.toString(arguments);
        Class<?>[] interfaces = {Class.forName("cases.Proxies$" + "Service".trim()), Closeable.class};
        Object both = Proxy.newProxyInstance(Proxies.class.getClassLoader(), interfaces, handler);
        System.out.println(((Service) both).call(3) + " " + (both instanceof Closeable) + " " + ((Service) both).twice(1));
        Object comparator = Proxy.newProxyInstance(Proxies.class.getClassLoader(), new Class<?>[] {Comparator.class}, (p, m, a) -> ((String) a[0]).length() - ((String) a[1]).length());
        String[] words = {"ccc", "a", "bb"};
        @SuppressWarnings("unchecked")
        Comparator<String> byLength = (Comparator<String>) comparator;
        Arrays.sort(words, byLength);
        System.out.println(Arrays.toString(words));
        for (Method method : both.getClass().getInterfaces()[0].getMethods()) {
            if (method.getName().equals("call")) {
                System.out.println(method.invoke(both, 8));
            }
        }
        System.out.println(Proxy.getInvocationHandler(both) == handler);
    }
}
