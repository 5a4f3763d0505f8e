package corpus.objects;

import java.net.URI;
import java.util.LinkedHashMap;
import java.util.Map;

import com.amazonaws.services.lambda.runtime.Context;
import com.amazonaws.services.lambda.runtime.RequestHandler;

import software.amazon.awssdk.auth.credentials.AwsBasicCredentials;
import software.amazon.awssdk.auth.credentials.StaticCredentialsProvider;
import software.amazon.awssdk.http.urlconnection.UrlConnectionHttpClient;
import software.amazon.awssdk.regions.Region;
import software.amazon.awssdk.services.dynamodb.DynamoDbClient;
import software.amazon.awssdk.services.dynamodb.model.AttributeValue;

/** Reads an item from a DynamoDB-compatible store at the endpoint that the event names. */
public class ItemsHandler implements RequestHandler<Map<String, String>, Map<String, Object>> {
    @Override
    public Map<String, Object> handleRequest(Map<String, String> event, Context context) {
        try (DynamoDbClient client = DynamoDbClient.builder()
                .endpointOverride(URI.create(event.get("endpoint")))
                .region(Region.EU_CENTRAL_1)
                .credentialsProvider(StaticCredentialsProvider.create(AwsBasicCredentials.create("id", "secret")))
                .httpClient(UrlConnectionHttpClient.create())
                .build()) {
            Map<String, AttributeValue> item = client.getItem(r -> r
                    .tableName("items")
                    .key(Map.of("id", AttributeValue.fromS(event.get("id"))))).item();
            Map<String, Object> answer = new LinkedHashMap<>();
            item.forEach((name, value) -> answer.put(name, value.s() != null ? value.s() : value.n()));
            return answer;
        }
    }
}
