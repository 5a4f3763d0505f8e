package dev.cloudjit.runtime.json;

import java.math.BigDecimal;
import java.math.BigInteger;
import java.util.Date;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;

/** Classes as functions' authors write them. */
public final class Shapes {
    private Shapes() {}

    public enum Color {
        RED,
        GREEN {
            @Override
            public String toString() {
                return "green!";
            }
        }
    }

    public static class Plain {
        private String name;
        private int count;
        private Integer boxed;
        private long big;
        private double ratio;
        private Float small;
        private boolean active;
        private Boolean maybe;
        private Color color;
        private List<String> tags;
        private Map<String, Plain> children;
        private Object anything;
        private byte[] bytes;
        private Plain next;
        private Set<Integer> numbers;
        private BigInteger huge;
        private Plain[] array;

        public String getName() {
            return name;
        }

        public void setName(String name) {
            this.name = name;
        }

        public int getCount() {
            return count;
        }

        public void setCount(int count) {
            this.count = count;
        }

        public Integer getBoxed() {
            return boxed;
        }

        public Plain setBoxed(Integer boxed) {
            this.boxed = boxed;
            return this;
        }

        public long getBig() {
            return big;
        }

        void setBig(long big) {
            this.big = big;
        }

        public double getRatio() {
            return ratio;
        }

        public void setRatio(double ratio) {
            this.ratio = ratio;
        }

        public Float getSmall() {
            return small;
        }

        public void setSmall(Float small) {
            this.small = small;
        }

        public boolean isActive() {
            return active;
        }

        public void setActive(boolean active) {
            this.active = active;
        }

        public Boolean isMaybe() {
            return maybe;
        }

        public void setMaybe(Boolean maybe) {
            this.maybe = maybe;
        }

        public Color getColor() {
            return color;
        }

        public void setColor(Color color) {
            this.color = color;
        }

        public List<String> getTags() {
            return tags;
        }

        public void setTags(List<String> tags) {
            this.tags = tags;
        }

        public Map<String, Plain> getChildren() {
            return children;
        }

        public void setChildren(Map<String, Plain> children) {
            this.children = children;
        }

        public Object getAnything() {
            return anything;
        }

        public void setAnything(Object anything) {
            this.anything = anything;
        }

        public byte[] getBytes() {
            return bytes;
        }

        public void setBytes(byte[] bytes) {
            this.bytes = bytes;
        }

        public Plain getNext() {
            return next;
        }

        public void setNext(Plain next) {
            this.next = next;
        }

        public Set<Integer> getNumbers() {
            return numbers;
        }

        public void setNumbers(Set<Integer> numbers) {
            this.numbers = numbers;
        }

        public BigInteger getHuge() {
            return huge;
        }

        public void setHuge(BigInteger huge) {
            this.huge = huge;
        }

        public Plain[] getArray() {
            return array;
        }

        public void setArray(Plain[] array) {
            this.array = array;
        }
    }

    public static class Derived extends Plain {
        private String extra;
        private final String readOnly = "fixed";
        private String writeOnly;
        private String URL;

        public String getExtra() {
            return extra;
        }

        public void setExtra(String extra) {
            this.extra = extra;
        }

        public String getReadOnly() {
            return readOnly;
        }

        public void setWriteOnly(String writeOnly) {
            this.writeOnly = writeOnly;
        }

        public String getURL() {
            return URL;
        }

        public void setURL(String URL) {
            this.URL = URL;
        }

        public String written() {
            return writeOnly;
        }
    }

    public static class Fields {
        public String name;
        public int count;
        public List<Fields> more;
        String hidden = "h";
        static String shared = "s";
    }

    interface WithDefault {
        default String getKind() {
            return "default";
        }
    }

    static class NotPublic implements WithDefault {
        private String name = "n";

        public String getName() {
            return name;
        }

        private void setName(String name) {
            this.name = name;
        }

        public String getAway() {
            return "away";
        }

        public String getaway() {
            return "here";
        }

        public String get() {
            return "nothing";
        }

        public void getVoid() {}

        public String getWith(String argument) {
            return argument;
        }
    }

    public static class Overloaded {
        private String value;

        public String getValue() {
            return value;
        }

        public void setValue(String value) {
            this.value = value;
        }

        public void setValue(int value) {
            this.value = "int " + value;
        }
    }

    public record Point(int x, String label) {}

    public static class Dated {
        private Date date;
        private Optional<String> maybe = Optional.empty();
        private BigDecimal price;

        public Date getDate() {
            return date;
        }

        public void setDate(Date date) {
            this.date = date;
        }

        public Optional<String> getMaybe() {
            return maybe;
        }

        public void setMaybe(Optional<String> maybe) {
            this.maybe = maybe;
        }

        public BigDecimal getPrice() {
            return price;
        }

        public void setPrice(BigDecimal price) {
            this.price = price;
        }
    }

    public static class NoDefaultConstructor {
        private final String name;

        public NoDefaultConstructor(String name) {
            this.name = name;
        }

        public String getName() {
            return name;
        }
    }

    public static class Throwing {
        public String getName() {
            throw new IllegalStateException("no name");
        }

        public void setName(String name) {
            throw new IllegalArgumentException("not " + name);
        }
    }

    public static class Empty {}
}
