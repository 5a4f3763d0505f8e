package shop.pricing;

/** The price of the list. */
public class Standard implements Pricing {
    @Override
    public long price(long cents, int quantity) {
        return cents * quantity;
    }
}
