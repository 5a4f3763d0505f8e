package corpus.orders;

import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.math.BigDecimal;
import java.util.List;

import com.amazonaws.services.lambda.runtime.Context;
import com.amazonaws.services.lambda.runtime.RequestStreamHandler;
import com.fasterxml.jackson.annotation.JsonSubTypes;
import com.fasterxml.jackson.annotation.JsonTypeInfo;
import com.fasterxml.jackson.databind.ObjectMapper;

/** Prices an order. A discount's class is found by name, so that a rare one is met late. */
public class OrderHandler implements RequestStreamHandler {
    private static final ObjectMapper JSON = new ObjectMapper();

    @Override
    public void handleRequest(InputStream input, OutputStream output, Context context) throws IOException {
        Order order = JSON.readValue(input, Order.class);
        BigDecimal total = order.lines().stream()
                .map(l -> l.price().multiply(BigDecimal.valueOf(l.quantity())))
                .reduce(BigDecimal.ZERO, BigDecimal::add);
        if (order.discount() != null) {
            total = order.discount().apply(total);
        }
        JSON.writeValue(output, new Receipt(order.id(), total, order.lines().size()));
    }

    public record Order(String id, List<Line> lines, Discount discount) {
    }

    public record Line(String product, int quantity, BigDecimal price) {
    }

    public record Receipt(String id, BigDecimal total, int lines) {
    }

    @JsonTypeInfo(use = JsonTypeInfo.Id.NAME, property = "kind")
    @JsonSubTypes({
        @JsonSubTypes.Type(value = Percent.class, name = "percent"),
        @JsonSubTypes.Type(value = Amount.class, name = "amount")
    })
    public interface Discount {
        BigDecimal apply(BigDecimal total);
    }

    public record Percent(int percent) implements Discount {
        @Override
        public BigDecimal apply(BigDecimal total) {
            return total.multiply(BigDecimal.valueOf(100L - percent)).movePointLeft(2);
        }
    }

    public record Amount(BigDecimal amount) implements Discount {
        @Override
        public BigDecimal apply(BigDecimal total) {
            return total.subtract(amount).max(BigDecimal.ZERO);
        }
    }
}
