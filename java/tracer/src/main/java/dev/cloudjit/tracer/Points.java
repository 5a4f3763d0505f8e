package dev.cloudjit.tracer;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** The methods of the JDK that are watched. */
final class Points {
    private Points() {}

    /**
     * One watched method and the hook that it calls.
     *
     * @param method     name and descriptor
     * @param hook       a method of Hooks that takes the chosen arguments
     * @param arguments  '0'..'9' for a parameter, 't' for this, 'r' for the result
     * @param atExit     whether the hook is called when the method returns, and not when it begins
     */
    record Point(String method, String hook, String arguments, boolean atExit) {}

    /** Returns the points of each class. */
    static Map<String, List<Point>> all() {
        Map<String, List<Point>> all = new LinkedHashMap<>();
        all.put("java.lang.Class", classes());
        all.put("java.lang.ClassLoader", loaders());
        all.put("java.lang.Module", List.of(entry("getResourceAsStream(Ljava/lang/String;)Ljava/io/InputStream;", "resource", "t0")));
        all.put("java.lang.reflect.Method", List.of(entry("invoke(Ljava/lang/Object;[Ljava/lang/Object;)Ljava/lang/Object;", "found", "t")));
        all.put("java.lang.reflect.Constructor", List.of(entry("newInstance([Ljava/lang/Object;)Ljava/lang/Object;", "found", "t")));
        all.put("java.lang.reflect.Field", fields());
        all.put("java.lang.reflect.Array", List.of(
                entry("newInstance(Ljava/lang/Class;I)Ljava/lang/Object;", "arrayOf", "0"),
                entry("newInstance(Ljava/lang/Class;[I)Ljava/lang/Object;", "arraysOf", "01")));
        all.put("java.lang.reflect.Proxy", List.of(
                entry("newProxyInstance(Ljava/lang/ClassLoader;[Ljava/lang/Class;Ljava/lang/reflect/InvocationHandler;)Ljava/lang/Object;", "proxy", "1"),
                entry("invokeDefault(Ljava/lang/Object;Ljava/lang/reflect/Method;[Ljava/lang/Object;Ljava/lang/Class;)Ljava/lang/Object;", "invokesDefault", "0"),
                entry("getProxyClass(Ljava/lang/ClassLoader;[Ljava/lang/Class;)Ljava/lang/Class;", "proxy", "1")));
        all.put("java.lang.invoke.MethodHandles$Lookup", lookups());
        all.put("java.util.ResourceBundle", bundles());
        // What an image has only of those that it is built with.
        all.put("sun.util.resources.LocaleData", List.of(
                entry("getBundle(Ljava/lang/String;Ljava/util/Locale;)Ljava/util/ResourceBundle;", "localeData", "1")));
        all.put("java.net.URL", List.of(entry("getURLStreamHandler(Ljava/lang/String;)Ljava/net/URLStreamHandler;", "protocol", "0")));
        // What lies in a folder of an archive: an image has only the files that it is built with.
        String folder = "newDirectoryStream(Ljava/nio/file/Path;";
        String stream = ")Ljava/nio/file/DirectoryStream;";
        all.put("java.nio.file.Files", List.of(
                entry(folder + stream, "folder", "0"),
                entry(folder + "Ljava/lang/String;" + stream, "folder", "0"),
                entry(folder + "Ljava/nio/file/DirectoryStream$Filter;" + stream, "folder", "0")));
        all.put("java.io.ObjectStreamClass", List.of(entry("lookup(Ljava/lang/Class;Z)Ljava/io/ObjectStreamClass;", "serialize", "0")));
        all.put("jdk.internal.reflect.ReflectionFactory", List.of(
                entry("newConstructorForSerialization(Ljava/lang/Class;)Ljava/lang/reflect/Constructor;", "serialize", "0"),
                entry("newConstructorForSerialization(Ljava/lang/Class;Ljava/lang/reflect/Constructor;)Ljava/lang/reflect/Constructor;", "serialize", "0"),
                entry("newConstructorForExternalization(Ljava/lang/Class;)Ljava/lang/reflect/Constructor;", "serialize", "0")));
        all.put("sun.misc.Unsafe", List.of(
                entry("allocateInstance(Ljava/lang/Class;)Ljava/lang/Object;", "allocate", "0"),
                entry("objectFieldOffset(Ljava/lang/reflect/Field;)J", "found", "0"),
                entry("staticFieldOffset(Ljava/lang/reflect/Field;)J", "found", "0"),
                entry("staticFieldBase(Ljava/lang/reflect/Field;)Ljava/lang/Object;", "found", "0")));
        all.put("jdk.internal.loader.NativeLibraries", List.of(
                entry("loadLibrary(Ljava/lang/Class;Ljava/io/File;)Ljdk/internal/loader/NativeLibrary;", "library", "01")));
        all.put("java.lang.Runtime", List.of(entry("halt(I)V", "halt", "")));
        return all;
    }

    private static Point entry(String method, String hook, String arguments) {
        return new Point(method, hook, arguments, false);
    }

    private static Point exit(String method, String hook, String arguments) {
        return new Point(method, hook, arguments, true);
    }

    private static List<Point> classes() {
        List<Point> points = new ArrayList<>();
        points.add(entry("forName(Ljava/lang/String;)Ljava/lang/Class;", "forName", "0"));
        points.add(entry("forName(Ljava/lang/String;ZLjava/lang/ClassLoader;)Ljava/lang/Class;", "forName", "0"));
        points.add(entry("forName(Ljava/lang/Module;Ljava/lang/String;)Ljava/lang/Class;", "forName", "1"));
        for (String query : new String[] {
            "getMethods()[Ljava/lang/reflect/Method;", "getDeclaredMethods()[Ljava/lang/reflect/Method;",
            "getFields()[Ljava/lang/reflect/Field;", "getDeclaredFields()[Ljava/lang/reflect/Field;",
            "getConstructors()[Ljava/lang/reflect/Constructor;", "getDeclaredConstructors()[Ljava/lang/reflect/Constructor;",
            "getClasses()[Ljava/lang/Class;", "getDeclaredClasses()[Ljava/lang/Class;",
            "getRecordComponents()[Ljava/lang/reflect/RecordComponent;", "getPermittedSubclasses()[Ljava/lang/Class;",
            "getNestMembers()[Ljava/lang/Class;", "getSigners()[Ljava/lang/Object;",
        }) {
            points.add(entry(query, "members", "t"));
        }
        for (String query : new String[] {
            "getMethod(Ljava/lang/String;[Ljava/lang/Class;)Ljava/lang/reflect/Method;",
            "getDeclaredMethod(Ljava/lang/String;[Ljava/lang/Class;)Ljava/lang/reflect/Method;",
            "getField(Ljava/lang/String;)Ljava/lang/reflect/Field;", "getDeclaredField(Ljava/lang/String;)Ljava/lang/reflect/Field;",
            "getConstructor([Ljava/lang/Class;)Ljava/lang/reflect/Constructor;",
            "getDeclaredConstructor([Ljava/lang/Class;)Ljava/lang/reflect/Constructor;",
        }) { // at entry for those that do not exist, at exit for which it is
            points.add(entry(query, "members", "t"));
            points.add(exit(query, "found", "r"));
        }
        points.add(entry("newInstance()Ljava/lang/Object;", "create", "t"));
        points.add(entry("arrayType()Ljava/lang/Class;", "arrayOf", "t"));
        points.add(entry("getResource(Ljava/lang/String;)Ljava/net/URL;", "resource", "t0"));
        points.add(entry("getResourceAsStream(Ljava/lang/String;)Ljava/io/InputStream;", "resource", "t0"));
        return points;
    }

    private static List<Point> loaders() {
        return List.of(
                entry("loadClass(Ljava/lang/String;)Ljava/lang/Class;", "loadClass", "0"),
                entry("getResource(Ljava/lang/String;)Ljava/net/URL;", "resource", "0"),
                exit("getResource(Ljava/lang/String;)Ljava/net/URL;", "foundResource", "0r"),
                entry("getResources(Ljava/lang/String;)Ljava/util/Enumeration;", "resource", "0"),
                entry("getResourceAsStream(Ljava/lang/String;)Ljava/io/InputStream;", "resource", "0"));
    }

    private static List<Point> fields() {
        List<Point> points = new ArrayList<>();
        points.add(entry("get(Ljava/lang/Object;)Ljava/lang/Object;", "found", "t"));
        points.add(entry("set(Ljava/lang/Object;Ljava/lang/Object;)V", "written", "t"));
        String[] names = {"Boolean", "Byte", "Char", "Short", "Int", "Long", "Float", "Double"};
        String codes = "ZBCSIJFD";
        for (int i = 0; i < names.length; i++) {
            points.add(entry("get" + names[i] + "(Ljava/lang/Object;)" + codes.charAt(i), "found", "t"));
            points.add(entry("set" + names[i] + "(Ljava/lang/Object;" + codes.charAt(i) + ")V", "written", "t"));
        }
        return points;
    }

    private static List<Point> lookups() {
        List<Point> points = new ArrayList<>();
        points.add(entry("findClass(Ljava/lang/String;)Ljava/lang/Class;", "forName", "0"));
        String type = "Ljava/lang/invoke/MethodType;";
        String handle = ")Ljava/lang/invoke/MethodHandle;";
        String name = "(Ljava/lang/Class;Ljava/lang/String;";
        for (String find : new String[] {
            "findVirtual" + name + type + handle, "findStatic" + name + type + handle, "findSpecial" + name + type + "Ljava/lang/Class;" + handle,
        }) {
            points.add(entry(find, "members", "0"));
            points.add(exit(find, "foundMethod", "012"));
        }
        points.add(entry("findConstructor(Ljava/lang/Class;" + type + handle, "members", "0"));
        points.add(exit("findConstructor(Ljava/lang/Class;" + type + handle, "foundConstructor", "01"));
        String var = ")Ljava/lang/invoke/VarHandle;";
        for (String find : new String[] {
            "findGetter" + name + "Ljava/lang/Class;" + handle, "findSetter" + name + "Ljava/lang/Class;" + handle,
            "findStaticGetter" + name + "Ljava/lang/Class;" + handle, "findStaticSetter" + name + "Ljava/lang/Class;" + handle,
            "findVarHandle" + name + "Ljava/lang/Class;" + var, "findStaticVarHandle" + name + "Ljava/lang/Class;" + var,
        }) {
            points.add(entry(find, "members", "0"));
            points.add(exit(find, "foundField", "01"));
        }
        points.add(entry("unreflect(Ljava/lang/reflect/Method;" + handle, "found", "0"));
        points.add(entry("unreflectSpecial(Ljava/lang/reflect/Method;Ljava/lang/Class;" + handle, "found", "0"));
        points.add(entry("unreflectConstructor(Ljava/lang/reflect/Constructor;" + handle, "found", "0"));
        points.add(entry("unreflectGetter(Ljava/lang/reflect/Field;" + handle, "found", "0"));
        points.add(entry("unreflectSetter(Ljava/lang/reflect/Field;" + handle, "written", "0"));
        points.add(entry("unreflectVarHandle(Ljava/lang/reflect/Field;" + var, "found", "0"));
        return points;
    }

    private static List<Point> bundles() {
        List<Point> points = new ArrayList<>();
        String locale = "Ljava/util/Locale;";
        String control = "Ljava/util/ResourceBundle$Control;";
        for (String parameters : new String[] {
            "", control, locale, "Ljava/lang/Module;", locale + "Ljava/lang/Module;", locale + control,
            locale + "Ljava/lang/ClassLoader;", locale + "Ljava/lang/ClassLoader;" + control,
        }) {
            points.add(entry("getBundle(Ljava/lang/String;" + parameters + ")Ljava/util/ResourceBundle;", "bundle", "0"));
        }
        return points;
    }
}
