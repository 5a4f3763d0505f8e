package corpus.words;

import java.util.Map;
import java.util.TreeMap;

import jakarta.inject.Inject;
import jakarta.ws.rs.Consumes;
import jakarta.ws.rs.GET;
import jakarta.ws.rs.POST;
import jakarta.ws.rs.Path;
import jakarta.ws.rs.Produces;
import jakarta.ws.rs.QueryParam;
import jakarta.ws.rs.core.MediaType;

@Path("/words")
public class WordsResource {
    @Inject
    Greeter greeter;

    @GET
    @Produces(MediaType.TEXT_PLAIN)
    public String greet(@QueryParam("name") String name) {
        return greeter.greet(name);
    }

    @POST
    @Consumes(MediaType.APPLICATION_JSON)
    @Produces(MediaType.APPLICATION_JSON)
    public Count count(Text text) {
        Map<String, Integer> frequency = new TreeMap<>();
        int words = 0;
        for (String word : text.text().split("\\W+")) {
            frequency.merge(word, 1, Integer::sum);
            words++;
        }
        return new Count(words, frequency);
    }

    public record Text(String text) {
    }
}
