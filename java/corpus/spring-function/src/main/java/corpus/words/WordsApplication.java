package corpus.words;

import com.amazonaws.services.lambda.runtime.events.APIGatewayProxyRequestEvent;
import com.amazonaws.services.lambda.runtime.events.APIGatewayProxyResponseEvent;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.function.Function;
import org.springframework.beans.factory.annotation.Value;
import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.context.annotation.Bean;
import org.springframework.stereotype.Component;

/** Functions of spring-cloud-function behind its handler for AWS Lambda; SPRING_CLOUD_FUNCTION_DEFINITION says which. */
@SpringBootApplication
public class WordsApplication {
    public static void main(String[] args) {
        SpringApplication.run(WordsApplication.class, args);
    }

    public record Text(String title, List<String> lines) {}

    public record Count(String title, int words, Map<String, Integer> frequencies) {}

    @Component
    static class Counter {
        private final int shortest;

        Counter(@Value("${words.shortest:2}") int shortest) {
            this.shortest = shortest;
        }

        Count count(Text text) {
            if (text.lines() == null) {
                throw new IllegalArgumentException("a text has lines");
            }
            Map<String, Integer> frequencies = new TreeMap<>();
            for (String line : text.lines()) {
                for (String word : line.toLowerCase().split("\\W+")) {
                    if (word.length() >= shortest) {
                        frequencies.merge(word, 1, Integer::sum);
                    }
                }
            }
            return new Count(text.title(), frequencies.values().stream().mapToInt(Integer::intValue).sum(), frequencies);
        }
    }

    @Bean
    public Function<Text, Count> count(Counter counter) {
        return counter::count;
    }

    @Bean
    public Function<String, String> uppercase() {
        return String::toUpperCase;
    }

    @Bean
    public Function<APIGatewayProxyRequestEvent, APIGatewayProxyResponseEvent> greet() {
        return request -> new APIGatewayProxyResponseEvent().withStatusCode(200)
                .withHeaders(Map.of("X-Path", String.valueOf(request.getPath())))
                .withBody("Hello, " + request.getQueryStringParameters().get("name"));
    }
}
