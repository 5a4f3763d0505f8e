package dev.cloudjit.tracer;

/** How resources are called in reachability metadata. */
final class Resources {
    private Resources() {}

    /** Returns the name that Class.getResource makes of its argument. */
    static String absolute(Class<?> c, String name) {
        if (name.startsWith("/")) {
            return name.substring(1);
        }
        Class<?> element = c;
        while (element.isArray()) {
            element = element.getComponentType();
        }
        String packageName = element.getPackageName();
        return packageName.isEmpty() ? name : packageName.replace('.', '/') + "/" + name;
    }

    /** Returns the glob that means this one resource, or null for what is none. */
    static String glob(String name) {
        String path = name;
        while (path.endsWith("/")) { // a folder
            path = path.substring(0, path.length() - 1);
        }
        return path.isEmpty() || path.length() > 4096 ? null : path.replace("*", "\\*");
    }
}
