package cases;

import com.sun.net.httpserver.HttpServer;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.util.Map;
import software.amazon.awssdk.auth.credentials.AwsBasicCredentials;
import software.amazon.awssdk.auth.credentials.StaticCredentialsProvider;
import software.amazon.awssdk.regions.Region;
import software.amazon.awssdk.services.dynamodb.DynamoDbClient;
import software.amazon.awssdk.services.dynamodb.model.AttributeValue;
import software.amazon.awssdk.services.dynamodb.model.ResourceNotFoundException;

/** A client of the AWS SDK against a server that answers like DynamoDB. */
final class AwsSdk implements Case {
    @Override
    public void run() throws Exception {
        HttpServer server = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
        server.createContext("/", exchange -> {
            String request = new String(exchange.getRequestBody().readAllBytes(), StandardCharsets.UTF_8);
            boolean known = request.contains("\"things\"");
            String answer = known ? "{\"Item\":{\"id\":{\"S\":\"1\"},\"n\":{\"N\":\"5\"}}}"
                    : "{\"__type\":\"com.amazonaws.dynamodb.v20120810#ResourceNotFoundException\",\"message\":\"no table\"}";
            exchange.getResponseHeaders().add("Content-Type", "application/x-amz-json-1.0");
            exchange.sendResponseHeaders(known ? 200 : 400, answer.length());
            exchange.getResponseBody().write(answer.getBytes(StandardCharsets.UTF_8));
            exchange.close();
        });
        server.start();
        try (DynamoDbClient client = DynamoDbClient.builder().region(Region.EU_WEST_1)
                .endpointOverride(URI.create("http://127.0.0.1:" + server.getAddress().getPort()))
                .credentialsProvider(StaticCredentialsProvider.create(AwsBasicCredentials.create("key", "secret"))).build()) {
            System.out.println(client.getItem(r -> r.tableName("things").key(Map.of("id", AttributeValue.fromS("1")))).item().get("n"));
            try {
                client.getItem(r -> r.tableName("none").key(Map.of("id", AttributeValue.fromS("1"))));
            } catch (ResourceNotFoundException e) {
                System.out.println(e.awsErrorDetails().errorCode() + " " + e.awsErrorDetails().errorMessage());
            }
        } finally {
            server.stop(0);
        }
    }
}
