package tables;

import com.amazonaws.services.lambda.runtime.Context;
import com.amazonaws.services.lambda.runtime.RequestHandler;
import com.amazonaws.services.lambda.runtime.events.APIGatewayProxyRequestEvent;
import com.amazonaws.services.lambda.runtime.events.APIGatewayProxyResponseEvent;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.io.StringReader;
import java.nio.charset.StandardCharsets;
import java.util.Base64;
import java.util.Map;
import org.apache.commons.csv.CSVFormat;
import org.apache.commons.csv.CSVParser;
import org.apache.commons.csv.CSVRecord;

/** Takes CSV with a header in the body of a request and answers an array of objects. */
public class CsvToJson implements RequestHandler<APIGatewayProxyRequestEvent, APIGatewayProxyResponseEvent> {
    private static final ObjectMapper JSON = new ObjectMapper();

    @Override
    public APIGatewayProxyResponseEvent handleRequest(APIGatewayProxyRequestEvent request, Context context) {
        if (request.getBody() == null) {
            return answer(400, "{\"error\":\"no body\"}");
        }
        String body = request.getBody();
        if (Boolean.TRUE.equals(request.getIsBase64Encoded())) {
            body = new String(Base64.getDecoder().decode(body), StandardCharsets.UTF_8);
        }
        Map<String, String> query = request.getQueryStringParameters();
        char delimiter = query != null && query.containsKey("delimiter") ? query.get("delimiter").charAt(0) : ',';
        try {
            return answer(200, JSON.writeValueAsString(convert(body, delimiter)));
        } catch (JsonProcessingException e) {
            throw new IllegalStateException(e);
        } catch (IOException | IllegalArgumentException e) {
            return answer(400, JSON.createObjectNode().put("error", e.getMessage()).toString());
        }
    }

    private static ArrayNode convert(String csv, char delimiter) throws IOException {
        CSVFormat format = CSVFormat.DEFAULT.builder().setDelimiter(delimiter).setHeader().setSkipHeaderRecord(true)
                .setTrim(true).get();
        ArrayNode rows = JSON.createArrayNode();
        try (CSVParser parser = CSVParser.parse(new StringReader(csv), format)) {
            for (CSVRecord record : parser) {
                ObjectNode row = rows.addObject();
                record.toMap().forEach((column, text) -> put(row, column, text));
            }
        }
        return rows;
    }

    private static void put(ObjectNode row, String column, String text) {
        if (text.matches("-?\\d{1,15}")) {
            row.put(column, Long.parseLong(text));
        } else {
            row.put(column, text);
        }
    }

    private static APIGatewayProxyResponseEvent answer(int status, String body) {
        return new APIGatewayProxyResponseEvent().withStatusCode(status)
                .withHeaders(Map.of("Content-Type", "application/json")).withBody(body).withIsBase64Encoded(false);
    }
}
