import com.amazonaws.services.lambda.runtime.Context;
import com.amazonaws.services.lambda.runtime.RequestHandler;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.IntStream;

/** A handler that computes: a stream over some thousand numbers, and a parser of expressions that are made of them. */
public class Compute implements RequestHandler<Map<String, Object>, Map<String, Object>> {
    @Override
    public Map<String, Object> handleRequest(Map<String, Object> event, Context context) {
        int rounds = ((Number) event.getOrDefault("rounds", 60)).intValue();
        long sum = 0;
        for (int round = 0; round < rounds; round++) {
            int seed = round;
            long odd = IntStream.range(0, 4000).map(i -> (i * 31 + seed) % 1009).filter(i -> (i & 1) == 1).mapToLong(i -> (long) i * i).sum();
            StringBuilder text = new StringBuilder();
            for (int i = 1; i < 400; i++) {
                text.append(i % 97 + seed).append(i % 3 == 0 ? '*' : '+').append('(').append(i).append('-').append(i % 7).append(')').append('+');
            }
            sum += odd + new Parser(text.append('1')).sum();
        }
        Map<String, Object> answer = new TreeMap<>();
        answer.put("sum", sum);
        return answer;
    }

    /** Sums and products of numbers and of what is in brackets. */
    private static final class Parser {
        private final CharSequence text;
        private int at;

        Parser(CharSequence text) {
            this.text = text;
        }

        long sum() {
            long value = product();
            while (at < text.length() && (text.charAt(at) == '+' || text.charAt(at) == '-')) {
                value = text.charAt(at++) == '+' ? value + product() : value - product();
            }
            return value;
        }

        private long product() {
            long value = term();
            while (at < text.length() && text.charAt(at) == '*') {
                at++;
                value = value * term() % 1_000_003;
            }
            return value;
        }

        private long term() {
            if (text.charAt(at) == '(') {
                at++;
                long value = sum();
                at++;
                return value;
            }
            long value = 0;
            while (at < text.length() && Character.isDigit(text.charAt(at))) {
                value = value * 10 + Character.digit(text.charAt(at++), 10);
            }
            return value;
        }
    }
}
