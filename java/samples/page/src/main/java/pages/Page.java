package pages;

import com.amazonaws.services.lambda.runtime.Context;
import com.amazonaws.services.lambda.runtime.RequestHandler;
import com.github.mustachejava.DefaultMustacheFactory;
import com.github.mustachejava.Mustache;
import java.io.StringWriter;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/** Renders the page of an event: its title, and who comes. */
public class Page implements RequestHandler<Map<String, Object>, Map<String, Object>> {
    private final Mustache template = new DefaultMustacheFactory("templates").compile("event.mustache");

    @Override
    public Map<String, Object> handleRequest(Map<String, Object> event, Context context) {
        List<Guest> guests = new ArrayList<>();
        if (event.get("guests") instanceof List<?> names) {
            for (Object name : names) {
                guests.add(new Guest(String.valueOf(name), guests.isEmpty()));
            }
        }
        StringWriter html = new StringWriter();
        template.execute(html, new Model(String.valueOf(event.get("title")), guests));
        return Map.of("statusCode", 200, "headers", Map.of("Content-Type", "text/html; charset=utf-8"), "body", html.toString());
    }

    /** What the template sees. */
    public static class Model {
        private final String title;
        private final List<Guest> guests;

        Model(String title, List<Guest> guests) {
            this.title = title;
            this.guests = guests;
        }

        public String getTitle() {
            return title;
        }

        public List<Guest> getGuests() {
            return guests;
        }

        public boolean isEmpty() {
            return guests.isEmpty();
        }
    }

    public static class Guest {
        private final String name;
        private final boolean first;

        Guest(String name, boolean first) {
            this.name = name;
            this.first = first;
        }

        public String getName() {
            return name;
        }

        public boolean isFirst() {
            return first;
        }
    }
}
