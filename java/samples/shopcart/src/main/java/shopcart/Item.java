package shopcart;

import io.micronaut.serde.annotation.Serdeable;

@Serdeable
public record Item(Product product, int quantity, long price) {}
