package corpus.cart;

import java.math.BigDecimal;
import java.util.Collection;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentSkipListMap;

import io.micronaut.http.HttpResponse;
import io.micronaut.http.annotation.Body;
import io.micronaut.http.annotation.Controller;
import io.micronaut.http.annotation.Delete;
import io.micronaut.http.annotation.Get;
import io.micronaut.http.annotation.Put;
import io.micronaut.serde.annotation.Serdeable;

@Controller("/carts")
class CartController {
    private final Map<String, Map<String, Item>> carts = new ConcurrentHashMap<>();

    @Get("/{user}")
    Cart get(String user) {
        Collection<Item> items = cart(user).values();
        BigDecimal total = items.stream()
                .map(i -> i.price().multiply(BigDecimal.valueOf(i.quantity())))
                .reduce(BigDecimal.ZERO, BigDecimal::add);
        return new Cart(user, items, total);
    }

    @Put("/{user}")
    Cart put(String user, @Body Item item) {
        cart(user).put(item.product(), item);
        return get(user);
    }

    @Delete("/{user}/{product}")
    HttpResponse<?> remove(String user, String product) {
        return cart(user).remove(product) == null ? HttpResponse.notFound() : HttpResponse.noContent();
    }

    private Map<String, Item> cart(String user) {
        return carts.computeIfAbsent(user, u -> new ConcurrentSkipListMap<>());
    }

    @Serdeable
    record Cart(String user, Collection<Item> items, BigDecimal total) {
    }
}
