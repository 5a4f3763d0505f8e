package shop;

import com.amazonaws.services.lambda.runtime.Context;
import com.amazonaws.services.lambda.runtime.RequestStreamHandler;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.util.ArrayList;
import java.util.List;
import shop.pricing.Pricing;

/** Prices an order and says how it will be paid. */
public class Orders implements RequestStreamHandler {
    private final ObjectMapper json = new ObjectMapper()
            .disable(DeserializationFeature.FAIL_ON_UNKNOWN_PROPERTIES);

    @Override
    public void handleRequest(InputStream in, OutputStream out, Context context) throws IOException {
        Order order = json.readValue(in, Order.class);
        json.writeValue(out, price(order));
    }

    private static Receipt price(Order order) {
        Pricing pricing = Pricing.named(order.pricing() == null ? "standard" : order.pricing());
        List<Receipt.Line> lines = new ArrayList<>();
        long total = 0;
        for (Order.Item item : order.items()) {
            long cents = pricing.price(item.cents(), item.quantity());
            lines.add(new Receipt.Line(item.product(), item.quantity(), cents));
            total += cents;
        }
        return new Receipt(order.id(), order.customer().getName(), lines, total, order.payment().describe(total));
    }
}
