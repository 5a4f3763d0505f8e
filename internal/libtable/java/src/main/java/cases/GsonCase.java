package cases;

import com.google.gson.Gson;
import com.google.gson.GsonBuilder;
import com.google.gson.annotations.SerializedName;
import com.google.gson.reflect.TypeToken;
import java.util.List;
import java.util.Map;

/** Classes without a constructor, records, generic types. */
final class GsonCase implements Case {
    static class Order {
        @SerializedName("order_id") private final long id;
        private List<Item> items;
        transient int ignored = 7;

        Order(long id) {
            this.id = id;
        }
    }

    record Item(String name, int count) {}

    enum State { @SerializedName("open") OPEN, CLOSED }

    static class Holder<T> {
        T value;
        State state;
    }

    @Override
    public void run() {
        Gson gson = new GsonBuilder().setPrettyPrinting().create();
        Order order = gson.fromJson("{\"order_id\": 5, \"items\": [{\"name\": \"pen\", \"count\": 2}]}", Order.class);
        System.out.println(gson.toJson(order));
        System.out.println(order.ignored);
        Holder<Map<String, Item>> holder = gson.fromJson("{\"value\": {\"k\": {\"name\": \"x\"}}, \"state\": \"open\"}", new TypeToken<Holder<Map<String, Item>>>() {}.getType());
        System.out.println(holder.value + " " + holder.state);
        System.out.println(gson.toJson(holder, new TypeToken<Holder<Map<String, Item>>>() {}.getType()));
    }
}
