import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/** A handler that does what its events say; see the tests that use it. */
public class Greeter {
    static final List<byte[]> KEPT = new ArrayList<>();

    public Map<String, Object> handle(Map<String, Object> event) throws Exception {
        String id = (String) event.getOrDefault("id", "");
        if (event.get("ms") instanceof Number ms) {
            Thread.sleep(ms.longValue());
        }
        switch ((String) event.getOrDefault("do", "")) {
            case "fail" -> throw new IllegalStateException("told to fail: " + id);
            case "exit" -> System.exit(3);
            case "print" -> System.out.println("printed " + id);
            case "allocate" -> {
                while (true) {
                    KEPT.add(new byte[8 << 20]);
                }
            }
            default -> { }
        }
        String tag = System.getenv("TAG");
        return Map.of("id", id, "tag", tag == null ? "" : tag);
    }
}
