package shopcart;

import jakarta.inject.Singleton;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.ConcurrentHashMap;

@Singleton
public class Carts {
    private final Map<String, Map<String, Integer>> quantities = new ConcurrentHashMap<>();
    private final Catalogue catalogue;

    Carts(Catalogue catalogue) {
        this.catalogue = catalogue;
    }

    public Cart get(String id) {
        Map<String, Integer> cart = quantities.getOrDefault(id, Map.of());
        List<Item> items = new ArrayList<>();
        long total = 0;
        synchronized (cart) {
            for (Map.Entry<String, Integer> entry : cart.entrySet()) {
                Product product = catalogue.find(entry.getKey()).orElseThrow();
                long price = product.price() * entry.getValue();
                items.add(new Item(product, entry.getValue(), price));
                total += price;
            }
        }
        return new Cart(id, items, total);
    }

    public void put(String id, Product product, int quantity) {
        Map<String, Integer> cart = quantities.computeIfAbsent(id, k -> new TreeMap<>());
        synchronized (cart) {
            cart.put(product.id(), quantity);
        }
    }

    public void remove(String id) {
        quantities.remove(id);
    }
}
