package dev.cloudjit.runtime;

import java.lang.reflect.GenericArrayType;
import java.lang.reflect.ParameterizedType;
import java.lang.reflect.Type;
import java.lang.reflect.TypeVariable;
import java.lang.reflect.WildcardType;
import java.util.Arrays;
import java.util.HashMap;
import java.util.Map;

/** Finds what a class passes to the type parameters of an interface, through its superclasses and interfaces. */
final class TypeArguments {
    private TypeArguments() {}

    /** One type for each parameter of the interface; null: the class does not say (raw). Variables may remain. */
    static Type[] of(Class<?> type, Class<?> wanted) {
        return search(type, wanted, new HashMap<>());
    }

    private static Type[] search(Type type, Class<?> wanted, Map<TypeVariable<?>, Type> bindings) {
        Class<?> raw;
        if (type instanceof ParameterizedType) {
            ParameterizedType parameterized = (ParameterizedType) type;
            raw = (Class<?>) parameterized.getRawType();
            Type[] arguments = parameterized.getActualTypeArguments();
            for (int i = 0; i < arguments.length; i++) {
                arguments[i] = substitute(arguments[i], bindings);
            }
            if (raw == wanted) {
                return arguments;
            }
            bindings = new HashMap<>();
            TypeVariable<?>[] variables = raw.getTypeParameters();
            for (int i = 0; i < arguments.length; i++) {
                bindings.put(variables[i], arguments[i]);
            }
        } else {
            raw = (Class<?>) type;
        }
        if (raw == wanted || !wanted.isAssignableFrom(raw)) {
            return null;
        }
        for (Type implemented : raw.getGenericInterfaces()) {
            Type[] found = search(implemented, wanted, bindings);
            if (found != null) {
                return found;
            }
        }
        Type parent = raw.getGenericSuperclass();
        return parent == null ? null : search(parent, wanted, bindings);
    }

    private static Type substitute(Type type, Map<TypeVariable<?>, Type> bindings) {
        if (type instanceof TypeVariable) {
            Type bound = bindings.get(type);
            return bound == null ? type : bound;
        }
        if (type instanceof ParameterizedType) {
            ParameterizedType parameterized = (ParameterizedType) type;
            Type[] arguments = parameterized.getActualTypeArguments();
            boolean changed = false;
            for (int i = 0; i < arguments.length; i++) {
                Type argument = substitute(arguments[i], bindings);
                changed |= argument != arguments[i];
                arguments[i] = argument;
            }
            return changed ? new Parameterized(parameterized, arguments) : type;
        }
        if (type instanceof GenericArrayType) {
            Type component = ((GenericArrayType) type).getGenericComponentType();
            Type bound = substitute(component, bindings);
            if (bound instanceof Class) {
                return ((Class<?>) bound).arrayType();
            }
        }
        if (type instanceof WildcardType && ((WildcardType) type).getLowerBounds().length == 0) {
            Type[] bounds = ((WildcardType) type).getUpperBounds();
            if (bounds.length == 1 && bounds[0] instanceof TypeVariable) {
                return substitute(bounds[0], bindings);
            }
        }
        return type;
    }

    /** A type with other arguments. Equal to the JDK's own of the same content, as the contract wants. */
    private static final class Parameterized implements ParameterizedType {
        private final ParameterizedType original;
        private final Type[] arguments;

        Parameterized(ParameterizedType original, Type[] arguments) {
            this.original = original;
            this.arguments = arguments;
        }

        @Override
        public Type[] getActualTypeArguments() {
            return arguments.clone();
        }

        @Override
        public Type getRawType() {
            return original.getRawType();
        }

        @Override
        public Type getOwnerType() {
            return original.getOwnerType();
        }

        @Override
        public boolean equals(Object other) {
            if (!(other instanceof ParameterizedType)) {
                return false;
            }
            ParameterizedType that = (ParameterizedType) other;
            return getRawType().equals(that.getRawType()) && Arrays.equals(arguments, that.getActualTypeArguments());
        }

        @Override
        public int hashCode() {
            return Arrays.hashCode(arguments) ^ getRawType().hashCode();
        }
    }
}
