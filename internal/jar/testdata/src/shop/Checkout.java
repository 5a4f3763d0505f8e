package shop;

import java.util.List;
import java.util.Map;

import library.Base;

@Deprecated(since = "1", forRemoval = false)
public class Checkout extends Base<Map<String, List<Checkout.Order>>, Checkout.Receipt> {
    @Override
    protected Receipt answer(Map<String, List<Order>> orders) {
        return new Receipt();
    }

    public Receipt price(Order order, int times) {
        return new Receipt();
    }

    public static class Order {
        public String id;
        public long amount;
    }

    public static class Receipt {
    }
}
