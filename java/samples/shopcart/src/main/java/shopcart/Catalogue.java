package shopcart;

import jakarta.inject.Singleton;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;

@Singleton
public class Catalogue {
    private final Map<String, Product> products = new LinkedHashMap<>();

    Catalogue() {
        add(new Product("tea", "Green tea", 450));
        add(new Product("cup", "Cup", 1299));
        add(new Product("pot", "Tea pot", 3490));
    }

    public Collection<Product> all() {
        return products.values();
    }

    public Optional<Product> find(String id) {
        return Optional.ofNullable(products.get(id));
    }

    private void add(Product product) {
        products.put(product.id(), product);
    }
}
