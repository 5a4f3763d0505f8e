package shop;

import java.util.List;

/** What is ordered. Prices are in cents. */
public record Order(String id, Customer customer, List<Item> items, Payment payment, String pricing) {
    public record Item(String product, int quantity, long cents) {}
}
