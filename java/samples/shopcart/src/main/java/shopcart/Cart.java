package shopcart;

import io.micronaut.serde.annotation.Serdeable;
import java.util.List;

@Serdeable
public record Cart(String id, List<Item> items, long total) {}
