package cases;

import java.lang.invoke.MethodHandle;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.MethodType;
import java.lang.invoke.VarHandle;

/** Method handles and variable handles of names known at run time. */
final class Handles implements Case {
    static class Target extends Base {
        int value = 3;
        static String shared = "sh";

        Target(int value) {
            this.value = value;
        }

        private String secret(int n) {
            return "secret" + n;
        }
    }

    static class Base {
        String name() {
            return "base";
        }
    }

    private static String hide(String s) {
        return new StringBuilder(s).reverse().toString();
    }

    @Override
    public void run() throws Exception {
        try {
            MethodHandles.Lookup lookup = MethodHandles.lookup();
            Class<?> target = lookup.findClass(hide("tegraT$seldnaH.sesac"));
            MethodHandle make = lookup.findConstructor(target, MethodType.methodType(void.class, int.class));
            Object o = make.invoke(9);
            System.out.println((String) lookup.findVirtual(target, hide("eman"), MethodType.methodType(String.class)).invoke(o));
            System.out.println((String) MethodHandles.privateLookupIn(target, lookup).findVirtual(target, hide("terces"), MethodType.methodType(String.class, int.class)).invoke(o, 2));
            VarHandle value = lookup.findVarHandle(target, hide("eulav"), int.class);
            System.out.println((int) value.getAndAdd(o, 1) + " " + (int) value.get(o));
            System.out.println((String) lookup.findStaticGetter(target, hide("derahs"), String.class).invoke());
            MethodHandle max = lookup.findStatic(Math.class, hide("xam"), MethodType.methodType(int.class, int.class, int.class));
            System.out.println((int) MethodHandles.insertArguments(max, 0, 5).invoke(7));
            System.out.println((String) lookup.unreflect(String.class.getMethod(hide("mirt"))).invoke(" x "));
            MethodHandle combined = MethodHandles.filterReturnValue(lookup.findVirtual(String.class, hide("htgnel"), MethodType.methodType(int.class)),
                    lookup.findStatic(Integer.class, hide("gnirtSxeHot"), MethodType.methodType(String.class, int.class)));
            System.out.println((String) combined.invoke("eleven chars"));
            try {
                lookup.findVirtual(String.class, "noSuchThing", MethodType.methodType(void.class));
            } catch (NoSuchMethodException e) {
                System.out.println("no such method");
            }
        } catch (Exception | Error e) {
            throw e;
        } catch (Throwable t) {
            throw new IllegalStateException(t);
        }
    }
}
