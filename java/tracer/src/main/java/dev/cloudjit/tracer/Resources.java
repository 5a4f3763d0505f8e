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

    /**
     * Returns the glob that means this one resource, or null for what is none. A native image
     * compares names without superfluous slashes, and refuses globs that have them.
     */
    static String glob(String name) {
        StringBuilder glob = new StringBuilder();
        for (int i = 0; i < name.length() && i < 4096; i++) {
            char c = name.charAt(i);
            if (c == '\\' || Character.isISOControl(c)) {
                return null;
            }
            if (c == '/' && (glob.isEmpty() || glob.charAt(glob.length() - 1) == '/')) {
                continue;
            }
            if ("*?[]{}".indexOf(c) >= 0) {
                glob.append('\\');
            }
            glob.append(c);
        }
        if (!glob.isEmpty() && glob.charAt(glob.length() - 1) == '/') { // a folder
            glob.setLength(glob.length() - 1);
        }
        return glob.isEmpty() ? null : glob.toString();
    }
}
