package shop;

import com.fasterxml.jackson.annotation.JsonProperty;
import java.util.List;

/** The answer. */
public record Receipt(
        String order, String customer, List<Line> lines, @JsonProperty("total_cents") long total, String payment) {
    public record Line(String product, int quantity, long cents) {}
}
