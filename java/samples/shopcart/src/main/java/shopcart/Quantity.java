package shopcart;

import io.micronaut.serde.annotation.Serdeable;
import jakarta.validation.constraints.Max;
import jakarta.validation.constraints.Min;

@Serdeable
public record Quantity(@Min(1) @Max(100) int quantity) {}
