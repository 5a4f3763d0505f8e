package cases;

import java.beans.BeanInfo;
import java.beans.Introspector;
import java.beans.PropertyChangeSupport;
import java.beans.PropertyDescriptor;
import java.util.logging.Logger;
import javax.management.MBeanServer;
import javax.management.ObjectName;

/** Parts of the JDK that reflect over the program's classes. */
final class JdkBeans implements Case {
    public static class Bean {
        private int size = 5;
        private final PropertyChangeSupport support = new PropertyChangeSupport(this);

        public int getSize() {
            return size;
        }

        public void setSize(int size) {
            support.firePropertyChange("size", this.size, size);
            this.size = size;
        }
    }

    public interface CounterMBean {
        int getCount();

        void reset();
    }

    public static class Counter implements CounterMBean {
        private int count = 3;

        @Override
        public int getCount() {
            return count;
        }

        @Override
        public void reset() {
            count = 0;
        }
    }

    @Override
    public void run() throws Exception {
        BeanInfo info = Introspector.getBeanInfo(Bean.class, Object.class);
        Bean bean = new Bean();
        for (PropertyDescriptor property : info.getPropertyDescriptors()) {
            property.getWriteMethod().invoke(bean, 7);
            System.out.println(property.getName() + " " + property.getPropertyType() + " " + property.getReadMethod().invoke(bean));
        }
        MBeanServer server = java.lang.management.ManagementFactory.getPlatformMBeanServer();
        ObjectName name = new ObjectName("cases:type=Counter");
        server.registerMBean(new Counter(), name);
        server.invoke(name, "reset", null, null);
        System.out.println(server.getAttribute(name, "Count"));
        System.out.println(Logger.getLogger("cases").getName());
    }
}
