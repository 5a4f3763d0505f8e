package dev.cloudjit.tracer;

import java.lang.reflect.Proxy;

/** How types are called in reachability metadata. */
final class Names {
    private Names() {}

    /** How the descriptor of a lambda begins. */
    static final String LAMBDA = "{\"lambda\"";

    /**
     * Returns the descriptor of a type: its name as in source ("java.lang.String[]"), the JSON of
     * a proxy's or lambda's descriptor, or null for what no native image can have (other hidden
     * classes, which only exist at run time).
     */
    static String descriptor(Class<?> type) {
        if (type.isArray()) {
            String element = descriptor(type.getComponentType());
            return element == null || element.startsWith("{") ? null : element + "[]";
        }
        if (type.isHidden()) {
            return lambda(type);
        }
        if (Proxy.isProxyClass(type)) {
            return proxy(type.getInterfaces());
        }
        return type.getName();
    }

    static String proxy(Class<?>[] interfaces) {
        StringBuilder s = new StringBuilder("{\"proxy\":");
        return names(s, interfaces).append('}').toString();
    }

    private static String lambda(Class<?> type) {
        String name = type.getName();
        int end = name.indexOf("$$Lambda");
        Class<?>[] interfaces = type.getInterfaces();
        if (end < 0 || interfaces.length == 0) {
            return null;
        }
        StringBuilder s = new StringBuilder("{\"lambda\":{\"declaringClass\":");
        Json.string(s, name.substring(0, end));
        return names(s.append(",\"interfaces\":"), interfaces).append("}}").toString();
    }

    private static StringBuilder names(StringBuilder s, Class<?>[] types) {
        s.append('[');
        for (int i = 0; i < types.length; i++) {
            if (i > 0) {
                s.append(',');
            }
            Json.string(s, types[i].getName());
        }
        return s.append(']');
    }

    /** Returns "name(type,type)". */
    static String signature(String name, Class<?>[] parameters) {
        StringBuilder s = new StringBuilder(name).append('(');
        for (int i = 0; i < parameters.length; i++) {
            if (i > 0) {
                s.append(',');
            }
            s.append(parameters[i].getTypeName());
        }
        return s.append(')').toString();
    }

    /**
     * Returns the descriptor for what is given to Class.forName, or null where it can name no
     * class: that throws in a native image too, registered or not.
     */
    static String ofLookup(String name) {
        int dimensions = 0;
        while (dimensions < name.length() && name.charAt(dimensions) == '[') {
            dimensions++;
        }
        String element = name.substring(dimensions);
        if (dimensions > 0) {
            element = element(element);
        }
        return element == null || dimensions > 255 || !isClassName(element) ? null : element.concat("[]".repeat(dimensions));
    }

    private static String element(String code) {
        return switch (code) {
            case "B" -> "byte";
            case "C" -> "char";
            case "D" -> "double";
            case "F" -> "float";
            case "I" -> "int";
            case "J" -> "long";
            case "S" -> "short";
            case "Z" -> "boolean";
            default -> code.length() > 2 && code.charAt(0) == 'L' && code.endsWith(";") ? code.substring(1, code.length() - 1) : null;
        };
    }

    private static boolean isClassName(String name) {
        if (name.isEmpty() || name.length() > 65535 || name.charAt(0) == '.' || name.charAt(name.length() - 1) == '.') {
            return false;
        }
        for (int i = 0; i < name.length(); i++) {
            char c = name.charAt(i);
            if (c == '.' ? name.charAt(i - 1) == '.' : !Character.isJavaIdentifierPart(c) && c != '-' || Character.isISOControl(c)) {
                return false;
            }
        }
        return true;
    }
}
