package shopcart;

import io.micronaut.serde.annotation.Serdeable;

/** What can be bought; the price is in cents. */
@Serdeable
public record Product(String id, String name, long price) {}
