package shopcart;

import io.micronaut.http.HttpResponse;
import io.micronaut.http.annotation.Body;
import io.micronaut.http.annotation.Controller;
import io.micronaut.http.annotation.Delete;
import io.micronaut.http.annotation.Get;
import io.micronaut.http.annotation.PathVariable;
import io.micronaut.http.annotation.Put;
import jakarta.validation.Valid;
import java.util.Collection;

@Controller
public class ShopController {
    private final Catalogue catalogue;
    private final Carts carts;

    ShopController(Catalogue catalogue, Carts carts) {
        this.catalogue = catalogue;
        this.carts = carts;
    }

    @Get("/products")
    public Collection<Product> products() {
        return catalogue.all();
    }

    @Get("/carts/{id}")
    public Cart cart(@PathVariable String id) {
        return carts.get(id);
    }

    /** Sets how many of a product are in the cart. */
    @Put("/carts/{id}/items/{product}")
    public HttpResponse<Cart> put(@PathVariable String id, @PathVariable String product, @Valid @Body Quantity quantity) {
        return catalogue.find(product)
                .map(found -> {
                    carts.put(id, found, quantity.quantity());
                    return HttpResponse.ok(carts.get(id));
                })
                .orElseGet(HttpResponse::notFound);
    }

    @Delete("/carts/{id}")
    public HttpResponse<Void> remove(@PathVariable String id) {
        carts.remove(id);
        return HttpResponse.noContent();
    }
}
