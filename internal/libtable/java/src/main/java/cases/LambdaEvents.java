package cases;

import com.amazonaws.services.lambda.runtime.events.APIGatewayV2HTTPEvent;
import com.amazonaws.services.lambda.runtime.events.S3Event;
import com.amazonaws.services.lambda.runtime.events.SQSEvent;
import com.amazonaws.services.lambda.runtime.serialization.PojoSerializer;
import com.amazonaws.services.lambda.runtime.serialization.events.LambdaEventSerializers;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.nio.charset.StandardCharsets;

/** The event types of AWS Lambda through their own serializers. */
final class LambdaEvents implements Case {
    @Override
    public void run() {
        show(SQSEvent.class, "{\"Records\":[{\"messageId\":\"m\",\"body\":\"b\",\"attributes\":{\"a\":\"1\"},\"eventSourceARN\":\"arn\"}]}");
        show(S3Event.class, "{\"Records\":[{\"eventName\":\"Put\",\"eventTime\":\"1970-01-01T00:00:00.000Z\",\"s3\":{\"bucket\":{\"name\":\"b\"},\"object\":{\"key\":\"k\",\"size\":3}}}]}");
        show(APIGatewayV2HTTPEvent.class, "{\"version\":\"2.0\",\"rawPath\":\"/p\",\"headers\":{\"h\":\"v\"},\"requestContext\":{\"http\":{\"method\":\"GET\"}}}");
    }

    private static <T> void show(Class<T> type, String json) {
        PojoSerializer<T> serializer = LambdaEventSerializers.serializerFor(type, LambdaEvents.class.getClassLoader());
        T event = serializer.fromJson(new ByteArrayInputStream(json.getBytes(StandardCharsets.UTF_8)));
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        serializer.toJson(event, out);
        System.out.println(out.toString(StandardCharsets.UTF_8));
    }
}
