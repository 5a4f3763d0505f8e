package corpus.cart;

import java.math.BigDecimal;

import io.micronaut.serde.annotation.Serdeable;

@Serdeable
public record Item(String product, int quantity, BigDecimal price) {
}
