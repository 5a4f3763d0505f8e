package shop.pricing;

/** A tenth off from ten pieces. */
public class Wholesale implements Pricing {
    @Override
    public long price(long cents, int quantity) {
        long full = cents * quantity;
        return quantity >= 10 ? full - full / 10 : full;
    }
}
