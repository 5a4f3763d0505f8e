package shop.pricing;

import java.util.Locale;

/** A way to price. New ones are classes of this package: an order names one without more wiring. */
public interface Pricing {
    /** The price of so many of a product, in cents. */
    long price(long cents, int quantity);

    /** The pricing of a name: "seasonal" is the class Seasonal of this package. */
    static Pricing named(String name) {
        String type = Pricing.class.getPackageName() + "." + name.substring(0, 1).toUpperCase(Locale.ROOT) + name.substring(1);
        try {
            return (Pricing) Class.forName(type).getDeclaredConstructor().newInstance();
        } catch (ReflectiveOperationException | ClassCastException e) {
            throw new IllegalArgumentException("no pricing is named " + name);
        }
    }
}
