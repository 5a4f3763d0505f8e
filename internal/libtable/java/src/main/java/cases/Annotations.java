package cases;

import java.lang.annotation.Annotation;
import java.lang.annotation.Repeatable;
import java.lang.annotation.Retention;
import java.lang.annotation.RetentionPolicy;
import java.lang.reflect.Method;
import java.lang.reflect.Parameter;
import java.lang.reflect.ParameterizedType;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import java.util.Map;

/** Annotations, generic signatures and parameter names read at run time. */
final class Annotations implements Case {
    @Retention(RetentionPolicy.RUNTIME)
    @Repeatable(Roles.class)
    @interface Role {
        String value();

        Class<?> type() default Object.class;

        int[] levels() default {1, 2};
    }

    @Retention(RetentionPolicy.RUNTIME)
    @interface Roles {
        Role[] value();
    }

    @Role("a") @Role(value = "b", type = String.class)
    static class Marked {
        @Role("field") Map<String, List<Integer>> map;

        @Role("method")
        String work(@Role("parameter") int count) {
            return "w";
        }
    }

    @Override
    public void run() throws Exception {
        Class<?> marked = Class.forName("cases.Annotations$" + "Marked".trim());
        for (Role role : marked.getAnnotationsByType(Role.class)) {
            System.out.println(role.value() + " " + role.type().getSimpleName() + " " + Arrays.toString(role.levels()));
        }
        for (Method method : marked.getDeclaredMethods()) {
            Parameter parameter = method.getParameters()[0];
            System.out.println(method.getName() + " " + method.getAnnotation(Role.class).value() + " " + parameter.getName() + " " + parameter.getAnnotation(Role.class).value());
        }
        ParameterizedType type = (ParameterizedType) marked.getDeclaredField("map").getGenericType();
        System.out.println(type);
        Annotation role = marked.getDeclaredField("map").getAnnotation(Role.class);
        System.out.println(role.annotationType().getSimpleName() + " " + role.equals(marked.getDeclaredField("map").getAnnotation(Role.class)));
        System.out.println(Arrays.stream(Role.class.getDeclaredMethods()).sorted(Comparator.comparing(Method::getName)).map(m -> m.getName() + Arrays.deepToString(new Object[] {m.getDefaultValue()})).toList());
    }
}
