package cloudjit.builder;

import java.io.IOException;
import java.lang.annotation.Annotation;
import java.lang.module.ModuleDescriptor;
import java.lang.module.ModuleFinder;
import java.lang.module.ModuleReference;
import java.lang.reflect.Array;
import java.lang.reflect.Field;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.ServiceLoader;
import java.util.Set;
import java.util.TreeSet;
import java.util.function.Function;

/**
 * Runs once, when the builder is assembled, and asks the builder's own jars two things that the
 * driver then reads from files: which command-line options they declare ({@code options}), and which
 * packages of the JDK must be open to them ({@code exports.args}).
 */
public final class Describe {
    /** Modules of the JDK into whose internals the builder reaches. */
    private static final Set<String> REACHED = Set.of("java.base", "java.instrument", "java.logging",
            "java.management", "java.rmi", "java.security.jgss", "jdk.internal.vm.ci", "jdk.jfr", "jdk.management",
            "jdk.management.agent", "jdk.security.jgss", "jdk.zipfs");

    private Describe() {
    }

    public static void main(String[] arguments) throws Exception {
        Path out = Path.of(arguments[1]);
        switch (arguments[0]) {
            case "modules" -> modules(out, List.of(arguments).subList(2, arguments.length));
            case "options" -> Files.write(out.resolve("options"), options());
            default -> throw new IllegalArgumentException(arguments[0]);
        }
    }

    /**
     * Writes two argument files of the Java launcher: {@code exports.args} gives the modules in the jars
     * the packages of the JDK that they need, {@code describe.args} gives this class those modules.
     */
    private static void modules(Path out, List<String> jars) throws IOException {
        Set<String> builder = new TreeSet<>();
        List<String> opens = new ArrayList<>();
        for (ModuleReference m : ModuleFinder.of(jars.stream().map(Path::of).toArray(Path[]::new)).findAll()) {
            String name = m.descriptor().name();
            builder.add(name);
            for (String pkg : new TreeSet<>(m.descriptor().packages())) {
                opens.add("--add-opens=" + name + "/" + pkg + "=ALL-UNNAMED");
            }
        }
        Files.write(out.resolve("exports.args"), exports(builder));
        Files.write(out.resolve("describe.args"), opens);
    }

    private static List<String> exports(Set<String> builder) {
        String targets = String.join(",", builder);
        List<String> lines = new ArrayList<>();
        for (String name : new TreeSet<>(REACHED)) {
            ModuleDescriptor module = ModuleFinder.ofSystem().find(name).orElseThrow().descriptor();
            for (String pkg : new TreeSet<>(module.packages())) {
                lines.add("--add-exports=" + name + "/" + pkg + "=" + targets);
            }
        }
        return lines;
    }

    /** One line for each name of each option, fields separated by tabs; see Option in the driver. */
    private static List<String> options() throws Exception {
        Set<String> lines = new TreeSet<>();
        Class<?> descriptors = Class.forName("jdk.graal.compiler.options.OptionDescriptors");
        for (Object group : ServiceLoader.load(ModuleLayer.boot(), descriptors)) {
            for (Iterator<?> i = ((Iterable<?>) group).iterator(); i.hasNext();) {
                describe(i.next(), lines);
            }
        }
        return List.copyOf(lines);
    }

    private static void describe(Object descriptor, Set<String> lines) throws Exception {
        String name = (String) call(descriptor, "getName");
        Class<?> type = (Class<?>) call(descriptor, "getOptionValueType");
        String help = firstLine((List<?>) call(descriptor, "getHelp"));
        Field field = ((Class<?>) call(descriptor, "getDeclaringClass"))
                .getDeclaredField((String) call(descriptor, "getFieldName"));
        boolean runtime = false;
        for (Class<?> c = call(descriptor, "getOptionKey").getClass(); c != null; c = c.getSuperclass()) {
            runtime |= c.getSimpleName().equals("RuntimeOptionKey");
        }
        for (Annotation a : field.getAnnotations()) {
            switch (a.annotationType().getSimpleName()) {
                case "APIOption" -> describe(a, name, type, runtime, help, lines);
                case "List" -> {
                    Object all = call(a, "value");
                    for (int i = 0; i < Array.getLength(all); i++) {
                        describe((Annotation) Array.get(all, i), name, type, runtime, help, lines);
                    }
                }
                default -> {
                }
            }
        }
    }

    private static void describe(Annotation api, String name, Class<?> type, boolean runtime, String help,
            Set<String> lines) throws Exception {
        Class<?> group = (Class<?>) call(api, "group");
        String prefix = "";
        if (!group.getSimpleName().equals("NullGroup")) {
            var constructor = group.getDeclaredConstructor();
            constructor.setAccessible(true);
            Object g = constructor.newInstance();
            var groupName = Class.forName("com.oracle.svm.core.option.APIOptionGroup").getMethod("name");
            var separator = Class.forName("com.oracle.svm.core.option.APIOptionGroup").getMethod("valueSeparator");
            groupName.setAccessible(true);
            separator.setAccessible(true);
            prefix = "--" + groupName.invoke(g) + separator.invoke(g);
        }
        StringBuilder separators = new StringBuilder();
        for (char c : (char[]) call(api, "valueSeparator")) {
            separators.append(c == 0 ? 'n' : c == ' ' ? 's' : c);
        }
        String custom = (String) call(api, "customHelp");
        boolean negated = call(api, "kind").toString().equals("Negated");
        for (String apiName : (String[]) call(api, "name")) {
            String option = !prefix.isEmpty() ? prefix + apiName : apiName.startsWith("-") ? apiName : "--" + apiName;
            lines.add(String.join("\t", option, runtime ? "R" : "H", name,
                    type == Boolean.class ? negated ? "-" : "+" : "=", separators.toString(),
                    quoted((String[]) call(api, "defaultValue")), quoted((String[]) call(api, "fixedValue")),
                    template((Class<?>[]) call(api, "valueTransformer")),
                    Boolean.TRUE.equals(call(api, "launcherOption")) ? "launcher" : "",
                    Boolean.TRUE.equals(call(api, "extra")) ? "extra" : "",
                    ((String) call(api, "deprecated")).replaceAll("\\s+", " "),
                    custom.isEmpty() ? help : firstLine(List.of(custom))));
        }
    }

    /** What becomes of each element "*" of a value: "*:build_time", for example. */
    @SuppressWarnings("unchecked")
    private static String template(Class<?>[] transformers) throws Exception {
        Object value = "*";
        for (Class<?> t : transformers) {
            var constructor = t.getDeclaredConstructor();
            constructor.setAccessible(true);
            value = ((Function<Object, Object>) constructor.newInstance()).apply(value);
        }
        return value.toString();
    }

    /** Nothing for no value, else the value behind a colon, so that an empty one can be told. */
    private static String quoted(String[] values) {
        return values.length == 0 ? "" : ":" + values[0];
    }

    private static String firstLine(List<?> help) {
        return help.isEmpty() ? "" : help.getFirst().toString().strip().replaceAll("\\s+", " ");
    }

    private static Object call(Object target, String method) throws Exception {
        Class<?> type = target instanceof Annotation a ? a.annotationType() : target.getClass();
        var m = type.getMethod(method);
        m.setAccessible(true);
        return m.invoke(target);
    }
}
