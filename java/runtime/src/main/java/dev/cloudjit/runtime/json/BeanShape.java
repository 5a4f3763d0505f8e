package dev.cloudjit.runtime.json;

import java.lang.reflect.Constructor;
import java.lang.reflect.Field;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.lang.reflect.Modifier;
import java.lang.reflect.Type;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * The properties of a plain class, as the published library sees them: public getters, setters of any visibility and
 * public fields; names by the rules of java.beans; in the order of the fields, then of the methods without a field.
 *
 * <p>A class about which there is the least doubt has no shape: {@link #of} throws {@link Doubt}.
 */
final class BeanShape {
    /** What the published library gives mixins, naming strategies or serializers of their own to lives here. */
    private static final String EVENTS = "com.amazonaws.services.lambda.runtime.events.";

    final Class<?> type;
    final List<Property> properties;
    /** Null: the class has no constructor without arguments. */
    private final Constructor<?> constructor;

    private final Map<String, Property> byName;

    private BeanShape(Class<?> type, Map<String, Property> byName, Constructor<?> constructor) {
        this.type = type;
        this.byName = byName;
        this.properties = new ArrayList<>(byName.values());
        this.constructor = constructor;
    }

    static BeanShape of(Class<?> type) {
        requirePlain(type);
        LinkedHashMap<String, Property> properties = new LinkedHashMap<>();
        addFields(type, properties);
        addGetters(type, properties);
        for (Class<?> c = type; c != Object.class; c = c.getSuperclass()) {
            addSetters(c, properties);
        }
        for (Iterator<Property> all = properties.values().iterator(); all.hasNext(); ) {
            Property property = all.next();
            if (property.getter == null && property.setter == null && property.field == null) {
                all.remove();
            }
        }
        Constructor<?> constructor = null;
        if (!Modifier.isAbstract(type.getModifiers())) {
            try {
                constructor = type.getDeclaredConstructor();
                constructor.setAccessible(true);
            } catch (NoSuchMethodException e) {
                // Can be written all the same.
            }
        }
        return new BeanShape(type, properties, constructor);
    }

    Property property(String name) {
        return byName.get(name);
    }

    boolean isReadable() {
        for (Property property : properties) {
            if (property.isReadable()) {
                return true;
            }
        }
        return false;
    }

    boolean isConstructible() {
        return constructor != null;
    }

    Object create() {
        if (constructor == null) {
            throw new Doubt("no constructor without arguments");
        }
        try {
            return constructor.newInstance();
        } catch (InvocationTargetException e) {
            throw new BeanFailure(e.getCause());
        } catch (ReflectiveOperationException e) {
            throw new BeanFailure(e);
        }
    }

    private static void requirePlain(Class<?> type) {
        if (type.isInterface() || type.isEnum() || type.isRecord() || type.isArray() || type.isPrimitive()
                || type.isAnnotation() || type.isHidden() || type.isAnonymousClass()
                || type.isMemberClass() && !Modifier.isStatic(type.getModifiers())) {
            throw new Doubt("kind of class");
        }
        if (Map.class.isAssignableFrom(type) || Iterable.class.isAssignableFrom(type)
                || Iterator.class.isAssignableFrom(type) || CharSequence.class.isAssignableFrom(type)
                || Number.class.isAssignableFrom(type) || Throwable.class.isAssignableFrom(type)
                || Map.Entry.class.isAssignableFrom(type)) {
            throw new Doubt("class with a form of its own");
        }
        for (Class<?> c = type; c != Object.class; c = c.getSuperclass()) {
            String name = c.getName();
            if (name.startsWith("java.") || name.startsWith("javax.") || name.startsWith("jdk.")
                    || name.startsWith("sun.") || name.startsWith("scala.") || name.startsWith("kotlin.")
                    || name.startsWith("groovy.") || name.startsWith("org.joda.")
                    || name.startsWith("com.amazonaws.services.s3.")
                    || name.startsWith("com.amazonaws.services.dynamodbv2.")) {
                throw new Doubt("platform class");
            }
            if (name.startsWith(EVENTS) && !isPlainEvent(name.substring(EVENTS.length()))) {
                throw new Doubt("event class");
            }
            if (c.getDeclaredAnnotations().length > 0) {
                requireForeign(c.getDeclaredAnnotations());
            }
        }
    }

    /** The events that the published library treats as any other class: those of HTTP, the common ones. */
    private static boolean isPlainEvent(String name) {
        return name.startsWith("APIGatewayProxy") || name.startsWith("APIGatewayV2HTTP")
                || name.startsWith("APIGatewayV2WebSocket") || name.startsWith("ApplicationLoadBalancer");
    }

    /** Annotations that the published library reads; those of the user's own Jackson mean nothing to it. */
    private static void requireForeign(java.lang.annotation.Annotation[] annotations) {
        for (java.lang.annotation.Annotation annotation : annotations) {
            String name = annotation.annotationType().getName();
            if (name.startsWith("java.beans.") || name.startsWith("com.amazonaws.lambda.thirdparty.")) {
                throw new Doubt("annotation");
            }
        }
    }

    private static void addFields(Class<?> type, Map<String, Property> properties) {
        if (type == Object.class) {
            return;
        }
        addFields(type.getSuperclass(), properties);
        for (Field field : type.getDeclaredFields()) {
            int modifiers = field.getModifiers();
            if (Modifier.isStatic(modifiers) || field.isSynthetic()) {
                continue;
            }
            if (properties.containsKey(field.getName())) {
                throw new Doubt("field hides another");
            }
            Property property = new Property(field.getName());
            if (Modifier.isPublic(modifiers)) {
                if (Modifier.isFinal(modifiers) || Modifier.isTransient(modifiers)) {
                    throw new Doubt("kind of field");
                }
                requireForeign(field.getDeclaredAnnotations());
                property.field = field;
                field.setAccessible(true);
            }
            properties.put(property.name, property);
        }
    }

    private static void addGetters(Class<?> type, Map<String, Property> properties) {
        for (Method method : type.getMethods()) {
            if (method.getParameterCount() != 0 || Modifier.isStatic(method.getModifiers()) || method.isBridge()
                    || method.isSynthetic() || method.getDeclaringClass() == Object.class) {
                continue;
            }
            String name = method.getName();
            Class<?> result = method.getReturnType();
            String property = null;
            if (name.startsWith("get") && result != void.class) {
                property = decapitalized(name.substring(3));
            } else if (name.startsWith("is") && (result == boolean.class || result == Boolean.class)) {
                property = decapitalized(name.substring(2));
            }
            if (property == null) {
                continue;
            }
            if (property.equals("metaClass") || property.equals("callbacks")) {
                throw new Doubt("generated class");
            }
            requireForeign(method.getDeclaredAnnotations());
            Property p = find(properties, property);
            if (p.getter != null) {
                throw new Doubt("two getters");
            }
            p.getter = method;
            method.setAccessible(true);
        }
    }

    private static void addSetters(Class<?> type, Map<String, Property> properties) {
        for (Method method : type.getDeclaredMethods()) {
            String name = method.getName();
            if (method.getParameterCount() != 1 || Modifier.isStatic(method.getModifiers()) || method.isBridge()
                    || method.isSynthetic() || !name.startsWith("set")) {
                continue;
            }
            String property = decapitalized(name.substring(3));
            if (property == null) {
                continue;
            }
            requireForeign(method.getDeclaredAnnotations());
            Property p = find(properties, property);
            if (p.setter == null) {
                p.setter = method;
                method.setAccessible(true);
            } else if (p.setter.getParameterTypes()[0] != method.getParameterTypes()[0]) {
                throw new Doubt("two setters");
            }
        }
    }

    private static Property find(Map<String, Property> properties, String name) {
        Property property = properties.get(name);
        if (property == null) {
            property = new Property(name);
            properties.put(name, property);
        }
        return property;
    }

    /** As java.beans.Introspector: "URL" stays, "Url" becomes "url". Null: no property. */
    private static String decapitalized(String name) {
        if (name.isEmpty()) {
            return null;
        }
        char first = name.charAt(0);
        char lower = Character.toLowerCase(first);
        if (lower == first || name.length() > 1 && Character.isUpperCase(name.charAt(1))) {
            return name;
        }
        return lower + name.substring(1);
    }

    /** A getter, setter or constructor of the function's own class threw. */
    static final class BeanFailure extends RuntimeException {
        private static final long serialVersionUID = 1;

        BeanFailure(Throwable cause) {
            super(cause);
        }
    }

    static final class Property {
        final String name;
        private Method getter;
        private Method setter;
        private Field field;
        private Codec codec;

        private Property(String name) {
            this.name = name;
        }

        boolean isReadable() {
            return getter != null || field != null;
        }

        /** Null: the property cannot be set, and its value in a document is passed over. */
        Type settableType() {
            if (setter != null) {
                return setter.getGenericParameterTypes()[0];
            }
            return field != null ? field.getGenericType() : null;
        }

        Object get(Object bean) {
            try {
                return getter != null ? getter.invoke(bean) : field.get(bean);
            } catch (InvocationTargetException e) {
                throw new BeanFailure(e.getCause());
            } catch (IllegalAccessException e) {
                throw new BeanFailure(e);
            }
        }

        void read(JsonReader in, Object bean) {
            Type type = settableType();
            if (type == null) {
                in.skipValue();
                return;
            }
            if (codec == null) {
                codec = Codecs.of(type);
            }
            Object value = codec.read(in);
            try {
                if (setter != null) {
                    setter.invoke(bean, value);
                } else {
                    field.set(bean, value);
                }
            } catch (InvocationTargetException e) {
                throw new BeanFailure(e.getCause());
            } catch (IllegalAccessException e) {
                throw new BeanFailure(e);
            }
        }
    }
}
