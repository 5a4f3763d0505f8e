package cases;

import com.fasterxml.jackson.annotation.JsonCreator;
import com.fasterxml.jackson.annotation.JsonProperty;
import com.fasterxml.jackson.annotation.JsonSubTypes;
import com.fasterxml.jackson.annotation.JsonTypeInfo;
import com.fasterxml.jackson.core.type.TypeReference;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.SerializationFeature;
import java.time.Instant;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;

/** Records, polymorphism, beans, enums, generic types, modules found as services. */
final class Jackson implements Case {
    @JsonTypeInfo(use = JsonTypeInfo.Id.NAME, property = "kind")
    @JsonSubTypes({@JsonSubTypes.Type(value = Circle.class, name = "circle"), @JsonSubTypes.Type(value = Square.class, name = "square")})
    sealed interface Shape permits Circle, Square {}

    record Circle(double radius) implements Shape {}

    record Square(double side, @JsonProperty("called") String name) implements Shape {}

    enum Level { LOW, HIGH }

    record Drawing(List<Shape> shapes, Map<String, Level> levels, Instant made) {}

    public static class Bean {
        private String name;
        private final int size;
        public Bean next;

        @JsonCreator
        Bean(@JsonProperty("size") int size) {
            this.size = size;
        }

        public String getName() {
            return name;
        }

        public void setName(String name) {
            this.name = name;
        }

        public int getSize() {
            return size;
        }
    }

    @Override
    public void run() throws Exception {
        ObjectMapper mapper = new ObjectMapper().findAndRegisterModules().disable(SerializationFeature.WRITE_DATES_AS_TIMESTAMPS);
        Drawing drawing = new Drawing(List.of(new Circle(1.5), new Square(2, "s")), new java.util.TreeMap<>(Map.of("a", Level.HIGH)), Instant.EPOCH);
        String json = mapper.writeValueAsString(drawing);
        System.out.println(json);
        System.out.println(mapper.readValue(json, Drawing.class));
        Bean bean = mapper.readValue("{\"size\": 3, \"name\": \"n\", \"next\": {\"size\": 4}}", Bean.class);
        System.out.println(mapper.writerWithDefaultPrettyPrinter().writeValueAsString(bean));
        System.out.println(mapper.readValue("[{\"kind\":\"circle\",\"radius\":2}]", new TypeReference<List<Shape>>() {}));
        System.out.println(mapper.convertValue(Map.of("LOW", 1), new TypeReference<EnumMap<Level, Integer>>() {}));
        System.out.println(mapper.readTree("{\"a\": [1, 2, {\"b\": null}]}"));
        try {
            mapper.readValue("{\"kind\":\"triangle\"}", Shape.class);
        } catch (com.fasterxml.jackson.databind.JsonMappingException e) {
            System.out.println(e.getOriginalMessage());
        }
    }
}
