package features;

import java.awt.Color;
import java.awt.Font;
import java.awt.Graphics2D;
import java.awt.geom.AffineTransform;
import java.awt.geom.Area;
import java.awt.geom.Rectangle2D;
import java.awt.image.BufferedImage;
import java.beans.Introspector;
import java.beans.PropertyChangeSupport;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.lang.management.ManagementFactory;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.TimeUnit;
import java.util.logging.Handler;
import java.util.logging.Level;
import java.util.logging.LogRecord;
import java.util.logging.Logger;
import java.util.logging.SimpleFormatter;
import java.util.logging.XMLFormatter;
import java.util.prefs.Preferences;
import java.util.stream.Collectors;
import javax.imageio.ImageIO;
import javax.management.MXBean;
import javax.management.ObjectName;
import javax.management.StandardMBean;
import javax.naming.InitialContext;
import javax.naming.ldap.LdapName;

/** The environment, management, logging, processes, desktop. */
final class Platform {
    private Platform() {}

    /** What a StandardMBean shows. */
    public interface Gauge {
        int getValue();
    }

    /** An MXBean's interface. */
    @MXBean
    public interface State {
        Map<String, Integer> getCounts();
    }

    /** A bean with a bound property. */
    public static class Bound {
        private final PropertyChangeSupport support = new PropertyChangeSupport(this);
        private String name = "a";

        public String getName() {
            return name;
        }

        public void setName(String name) {
            String old = this.name;
            this.name = name;
            support.firePropertyChange("name", old, name);
        }

        public void addPropertyChangeListener(java.beans.PropertyChangeListener l) {
            support.addPropertyChangeListener(l);
        }
    }

    private static BufferedImage picture() {
        BufferedImage image = new BufferedImage(20, 10, BufferedImage.TYPE_INT_RGB);
        Graphics2D g = image.createGraphics();
        g.setColor(Color.ORANGE);
        g.fillOval(2, 2, 8, 8);
        g.dispose();
        return image;
    }

    private static String encoded(String format) throws Exception {
        ByteArrayOutputStream b = new ByteArrayOutputStream();
        boolean written = ImageIO.write(picture(), format, b);
        BufferedImage again = written ? ImageIO.read(new ByteArrayInputStream(b.toByteArray())) : null;
        return written + " " + (again == null ? null : again.getWidth() + "x" + again.getHeight() + " " + Integer.toHexString(again.getRGB(5, 5)));
    }

    static void addTo(Jdk.Adder to) {
        for (String name : List.of("java.version", "java.vendor", "java.vm.name", "java.specification.version", "java.class.version", "java.class.path", "java.library.path", "java.home", "user.dir", "user.home", "user.name",
                "user.language", "file.encoding", "native.encoding", "stdout.encoding", "sun.jnu.encoding", "java.io.tmpdir", "os.name", "os.arch", "line.separator", "java.vm.specification.name", "java.runtime.version",
                "jdk.debug", "sun.arch.data.model", "java.net.preferIPv4Stack", "java.vendor.url", "java.vm.info", "java.vm.compressedOopsMode", "sun.management.compiler", "java.version.date", "sun.java.launcher", "sun.java.command", "jdk.module.main")) {
            to.add("properties/" + name.replace('.', '-'), () -> System.getProperty(name));
        }
        to.add("environment/own", () -> System.getenv("MY_SETTING") + System.getenv("NOTHING"));
        to.add("environment/names", () -> System.getenv().keySet().stream().filter(n -> !n.equals("JAVA_HOME")).sorted().toList());
        to.add("environment/paths", () -> System.getenv("PATH") + " " + System.getenv("LD_LIBRARY_PATH") + " " + System.getenv("LAMBDA_TASK_ROOT") + " " + System.getenv("TZ") + System.getenv("LANG"));
        to.add("environment/user-flag", () -> System.getProperty("my.flag") + " " + System.getProperty("my.other") + Boolean.getBoolean("my.flag"));
        to.add("environment/load-library", () -> {
            System.loadLibrary("no-such-library");
            return "";
        });
        to.add("environment/runtime-version", () -> Runtime.version().feature() + " " + (Runtime.getRuntime().availableProcessors() > 0) + (Runtime.getRuntime().maxMemory() > 1 << 20));
        to.add("environment/exit-hook", () -> {
            Thread hook = new Thread(() -> {});
            Runtime.getRuntime().addShutdownHook(hook);
            return Runtime.getRuntime().removeShutdownHook(hook);
        });

        to.add("management/names", () -> ManagementFactory.getRuntimeMXBean().getSpecName() + ManagementFactory.getOperatingSystemMXBean().getName() + ManagementFactory.getClassLoadingMXBean().isVerbose());
        to.add("management/thread-name", () -> ManagementFactory.getThreadMXBean().getThreadInfo(Thread.currentThread().threadId()).getThreadName());
        to.add("management/threads", () -> ManagementFactory.getThreadMXBean().isThreadCpuTimeSupported() + " " + (ManagementFactory.getThreadMXBean().getThreadCount() > 0) + (ManagementFactory.getThreadMXBean().getCurrentThreadCpuTime() > 0));
        to.add("management/memory", () -> (ManagementFactory.getMemoryMXBean().getHeapMemoryUsage().getUsed() > 0) + " " + (ManagementFactory.getMemoryPoolMXBeans().size() > 1));
        to.add("management/collectors", () -> ManagementFactory.getGarbageCollectorMXBeans().size());
        to.add("management/own-bean", () -> {
            var server = ManagementFactory.getPlatformMBeanServer();
            var name = new ObjectName("features:type=Gauge");
            if (!server.isRegistered(name)) {
                server.registerMBean(new StandardMBean((Gauge) () -> 42, Gauge.class), name);
            }
            return server.getAttribute(name, "Value");
        });
        to.add("management/own-mxbean", () -> {
            var server = ManagementFactory.getPlatformMBeanServer();
            var name = new ObjectName("features:type=State");
            if (!server.isRegistered(name)) {
                server.registerMBean((State) () -> new TreeMap<>(Map.of("a", 1)), name);
            }
            return ((javax.management.openmbean.TabularData) server.getAttribute(name, "Counts")).size();
        });
        to.add("management/domains", () -> Arrays.stream(ManagementFactory.getPlatformMBeanServer().getDomains()).filter(d -> d.startsWith("java.lang")).toList());
        to.add("management/input-arguments", () -> ManagementFactory.getRuntimeMXBean().getInputArguments().stream().anyMatch(a -> a.contains("my.flag")));
        to.add("management/flight-recorder", () -> jdk.jfr.FlightRecorder.isAvailable());

        to.add("logging/levels", () -> {
            StringBuilder said = new StringBuilder();
            Logger l = Logger.getLogger("features.own");
            l.setUseParentHandlers(false);
            Handler h = new Handler() {
                @Override
                public void publish(LogRecord r) {
                    said.append(r.getLevel()).append(' ').append(new SimpleFormatter().formatMessage(r)).append(';');
                }

                @Override
                public void flush() {}

                @Override
                public void close() {}
            };
            l.addHandler(h);
            l.log(Level.WARNING, "w {0}", 1);
            l.fine("no");
            l.removeHandler(h);
            return said;
        });
        to.add("logging/formatters", () -> {
            LogRecord r = new LogRecord(Level.INFO, "m");
            r.setInstant(java.time.Instant.EPOCH);
            r.setThrown(null);
            return new SimpleFormatter().format(r).strip() + new XMLFormatter().format(r).contains("<message>m</message>");
        });
        to.add("logging/level-names", () -> Level.WARNING.getLocalizedName() + Level.parse("CONFIG").intValue());
        to.add("logging/configuration", () -> {
            java.util.logging.LogManager.getLogManager().updateConfiguration(new ByteArrayInputStream("features.level=FINE\n".getBytes()), k -> (o, n) -> n);
            return java.util.logging.LogManager.getLogManager().getProperty("features.level");
        });
        to.add("logging/system-logger", () -> System.getLogger("features.system").isLoggable(System.Logger.Level.INFO));

        to.add("process/run", () -> {
            Process p = new ProcessBuilder("/bin/sh", "-c", "echo out; echo err >&2; exit 3").redirectErrorStream(true).start();
            return new String(p.getInputStream().readAllBytes()).strip() + p.waitFor();
        });
        to.add("process/not-found", () -> new ProcessBuilder("/no/such/program").start());
        to.add("process/handle", () -> ProcessHandle.current().isAlive() + " " + (ProcessHandle.current().pid() > 0) + ProcessHandle.current().info().command().isPresent());

        to.add("beans/introspector", () -> Arrays.stream(Introspector.getBeanInfo(Bound.class).getPropertyDescriptors()).map(p -> p.getName()).toList());
        to.add("beans/bound-property", () -> {
            Bound b = new Bound();
            StringBuilder said = new StringBuilder();
            b.addPropertyChangeListener(e -> said.append(e.getPropertyName()).append(e.getOldValue()).append(e.getNewValue()));
            b.setName("b");
            return said;
        });
        to.add("beans/encoder", () -> {
            ByteArrayOutputStream b = new ByteArrayOutputStream();
            try (var e = new java.beans.XMLEncoder(b)) {
                Bound x = new Bound();
                x.setName("encoded");
                e.writeObject(x);
            }
            try (var d = new java.beans.XMLDecoder(new ByteArrayInputStream(b.toByteArray()))) {
                return ((Bound) d.readObject()).getName();
            }
        });
        to.add("beans/property-editor", () -> {
            var e = java.beans.PropertyEditorManager.findEditor(int.class);
            e.setAsText("5");
            return e.getValue();
        });

        to.add("naming/no-context", () -> new InitialContext().lookup("java:comp/env"));
        to.add("naming/ldap-name", () -> new LdapName("CN=a,OU=b+L=c").getRdn(0));
        to.add("naming/factory-missing", () -> new InitialContext(new java.util.Hashtable<>(Map.of("java.naming.factory.initial", "features.NoFactory"))).lookup("x"));
        to.add("naming/dns", () -> new javax.naming.directory.InitialDirContext(new java.util.Hashtable<>(Map.of("java.naming.factory.initial", "com.sun.jndi.dns.DnsContextFactory", "java.naming.provider.url", "dns://127.0.0.1:1", "com.sun.jndi.dns.timeout.initial", "10", "com.sun.jndi.dns.timeout.retries", "1"))).getEnvironment().get("java.naming.provider.url"));

        to.add("preferences/user", () -> {
            Preferences p = Preferences.userRoot().node("features");
            p.put("k", "v");
            return p.get("k", "none") + p.absolutePath();
        });
        to.add("sql/types", () -> java.sql.Timestamp.valueOf("2024-02-29 10:00:00") + " " + java.sql.Date.valueOf("2024-02-29").getTime() + java.sql.JDBCType.valueOf(4));
        to.add("sql/rowset", () -> {
            var rows = javax.sql.rowset.RowSetProvider.newFactory().createCachedRowSet();
            return rows.getClass().getSimpleName();
        });
        to.add("scripting/none", () -> new javax.script.ScriptEngineManager().getEngineByName("javascript"));
        to.add("rmi/stub-missing", () -> java.rmi.registry.LocateRegistry.getRegistry("127.0.0.1", 1).list());
        to.add("print/services", () -> javax.print.PrintServiceLookup.lookupPrintServices(null, null).length);
        to.add("sound/formats", () -> javax.sound.sampled.AudioSystem.getAudioFileTypes().length);

        for (String format : List.of("png", "jpg", "gif", "bmp", "tiff", "wbmp")) {
            to.add("images/" + format, () -> encoded(format));
        }
        to.add("images/formats", () -> Arrays.stream(ImageIO.getReaderFormatNames()).map(String::toLowerCase).distinct().sorted().collect(Collectors.joining(" ")));
        to.add("images/scale", () -> {
            BufferedImage small = new BufferedImage(5, 5, BufferedImage.TYPE_INT_ARGB);
            Graphics2D g = small.createGraphics();
            g.drawImage(picture(), 0, 0, 5, 5, null);
            g.dispose();
            return Integer.toHexString(small.getRGB(1, 2));
        });
        to.add("images/geometry", () -> new Area(new Rectangle2D.Double(0, 0, 2, 2)).createTransformedArea(AffineTransform.getRotateInstance(Math.PI / 4)).getBounds2D().getWidth() > 2.8);
        to.add("images/font", () -> new Font("SansSerif", Font.BOLD, 12).getStyle());
        to.add("images/headless", () -> java.awt.GraphicsEnvironment.isHeadless());
        to.add("images/no-screen", () -> new java.awt.Robot());
        to.add("images/color-space", () -> Arrays.toString(new Color(10, 20, 30).getRGBComponents(null)) + java.awt.color.ColorSpace.getInstance(java.awt.color.ColorSpace.CS_GRAY).getNumComponents());
        to.add("time/units", () -> TimeUnit.HOURS.toSeconds(2) + " " + TimeUnit.of(java.time.temporal.ChronoUnit.DAYS));
    }
}
