package shop;

import com.fasterxml.jackson.annotation.JsonSubTypes;
import com.fasterxml.jackson.annotation.JsonTypeInfo;

/** How an order is paid; "type" in the JSON says which it is. */
@JsonTypeInfo(use = JsonTypeInfo.Id.NAME, property = "type")
@JsonSubTypes({
    @JsonSubTypes.Type(value = Payment.Card.class, name = "card"),
    @JsonSubTypes.Type(value = Payment.Invoice.class, name = "invoice"),
    @JsonSubTypes.Type(value = Payment.Voucher.class, name = "voucher")
})
public interface Payment {
    String describe(long cents);

    record Card(String number, String holder) implements Payment {
        @Override
        public String describe(long cents) {
            return "card ending in " + number.substring(number.length() - 4) + " is charged " + Money.of(cents);
        }
    }

    record Invoice(int days) implements Payment {
        @Override
        public String describe(long cents) {
            return Money.of(cents) + " due in " + days + " days";
        }
    }

    record Voucher(String code, long worth) implements Payment {
        @Override
        public String describe(long cents) {
            return "voucher " + code + " leaves " + Money.of(Math.max(0, cents - worth)) + " to pay";
        }
    }
}
