package dev.cloudjit.runtime;

import com.amazonaws.services.lambda.runtime.Context;
import com.amazonaws.services.lambda.runtime.RequestHandler;
import com.amazonaws.services.lambda.runtime.RequestStreamHandler;
import com.amazonaws.services.lambda.runtime.events.APIGatewayProxyRequestEvent;
import com.amazonaws.services.lambda.runtime.events.APIGatewayProxyResponseEvent;
import com.amazonaws.services.lambda.runtime.events.APIGatewayV2HTTPEvent;
import com.amazonaws.services.lambda.runtime.events.APIGatewayV2HTTPResponse;
import com.amazonaws.services.lambda.runtime.events.DynamodbEvent;
import com.amazonaws.services.lambda.runtime.events.KinesisEvent;
import com.amazonaws.services.lambda.runtime.events.S3Event;
import com.amazonaws.services.lambda.runtime.events.SNSEvent;
import com.amazonaws.services.lambda.runtime.events.SQSEvent;
import com.amazonaws.services.lambda.runtime.events.ScheduledEvent;
import dev.cloudjit.runtime.json.Shapes;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.util.List;
import java.util.Map;
import java.util.function.Supplier;

/** Handlers as people write them, right and wrong. */
public final class Samples {
    private Samples() {}

    public static class OfMap implements RequestHandler<Map<String, Object>, Map<String, Object>> {
        @Override
        public Map<String, Object> handleRequest(Map<String, Object> event, Context context) {
            return event;
        }
    }

    public static class OfString implements RequestHandler<String, String> {
        @Override
        public String handleRequest(String event, Context context) {
            return event + " " + context.getAwsRequestId() + " " + context.getFunctionName();
        }
    }

    public static class OfBean implements RequestHandler<Shapes.Plain, Shapes.Plain> {
        @Override
        public Shapes.Plain handleRequest(Shapes.Plain event, Context context) {
            return event;
        }
    }

    public static class OfRecord implements RequestHandler<Shapes.Point, Shapes.Point> {
        @Override
        public Shapes.Point handleRequest(Shapes.Point event, Context context) {
            return event;
        }
    }

    public static class Raw implements RequestHandler {
        @Override
        public Object handleRequest(Object event, Context context) {
            return event;
        }
    }

    public abstract static class Base<A, B> implements RequestHandler<List<B>, A> {
        @Override
        public A handleRequest(List<B> event, Context context) {
            return answer(event.get(0));
        }

        abstract A answer(B event);
    }

    public static class Inherited extends Base<String, Shapes.Plain> {
        @Override
        String answer(Shapes.Plain event) {
            return event.getName();
        }
    }

    public interface Defaulted extends RequestHandler<Integer, Integer> {
        @Override
        default Integer handleRequest(Integer event, Context context) {
            return event + 1;
        }
    }

    public static class ByDefault implements Defaulted {}

    public static class Generic<T> implements RequestHandler<T, T> {
        @Override
        public T handleRequest(T event, Context context) {
            return event;
        }
    }

    public static class Returning implements RequestHandler<String, Void> {
        @Override
        public Void handleRequest(String event, Context context) {
            return null;
        }
    }

    public static class OfObject implements RequestHandler<Object, Object> {
        @Override
        public Object handleRequest(Object event, Context context) {
            return "bean".equals(event) ? new Shapes.Fields() : "record".equals(event) ? new Shapes.Point(1, "x") : event;
        }
    }

    public static class Streaming implements RequestStreamHandler {
        @Override
        public void handleRequest(InputStream in, OutputStream out, Context context) throws IOException {
            out.write('<');
            in.transferTo(out);
            out.write('>');
        }
    }

    public static class StreamFailing implements RequestStreamHandler {
        @Override
        public void handleRequest(InputStream in, OutputStream out, Context context) throws IOException {
            throw new IOException("disk full", new IllegalStateException("cause"));
        }
    }

    public static class Throwing implements RequestHandler<String, String> {
        @Override
        public String handleRequest(String event, Context context) {
            Supplier<String> deeper = () -> {
                throw new UnsupportedOperationException(event);
            };
            return deeper.get();
        }
    }

    public static class BadConstructor implements RequestHandler<String, String> {
        public BadConstructor() {
            throw new IllegalStateException("no database");
        }

        @Override
        public String handleRequest(String event, Context context) {
            return event;
        }
    }

    public static class BadInitializer implements RequestHandler<String, String> {
        static final int X = Integer.parseInt("x");

        @Override
        public String handleRequest(String event, Context context) {
            return event;
        }
    }

    public static class WithArgument implements RequestHandler<String, String> {
        public WithArgument(String argument) {}

        @Override
        public String handleRequest(String event, Context context) {
            return event;
        }
    }

    public class Inner implements RequestHandler<String, String> {
        @Override
        public String handleRequest(String event, Context context) {
            return event;
        }
    }

    public static class NoHandler {}

    public static class Methods {
        public String one(String event) {
            return "one " + event;
        }

        public static Map<String, Integer> still(List<String> events, Context context) {
            return Map.of(context.getAwsRequestId(), events.size());
        }

        public int number(int n) {
            return n * 2;
        }

        public String nothing() {
            return "nothing";
        }

        public String contextOnly(Context context) {
            return context.getFunctionVersion();
        }

        public void silent(String event) {}

        public void in(InputStream in) {}

        public void out(OutputStream out) throws IOException {
            out.write("\"out\"".getBytes());
        }

        public void inOut(InputStream in, OutputStream out) throws IOException {
            in.transferTo(out);
        }

        public void all(InputStream in, OutputStream out, Context context) throws IOException {
            in.transferTo(out);
        }

        public String overloaded(String event) {
            return "short";
        }

        public String overloaded(String event, Context context) {
            return "long";
        }

        public String overloaded(String event, String other) {
            return "wrong";
        }

        public String four(String a, String b, String c, String d) {
            return "";
        }

        public String two(String a, String b) {
            return "";
        }

        public String failing(String event) throws Exception {
            throw new Exception("checked");
        }

        String hidden(String event) {
            return event;
        }

        public <T> T variable(T event) {
            return event;
        }
    }

    public interface Echo<T> {
        T echo(T value);
    }

    public static class Bridged implements Echo<String> {
        @Override
        public String echo(String value) {
            return "bridged " + value;
        }
    }

    public static class Gateway implements RequestHandler<APIGatewayProxyRequestEvent, APIGatewayProxyResponseEvent> {
        @Override
        public APIGatewayProxyResponseEvent handleRequest(APIGatewayProxyRequestEvent event, Context context) {
            return new APIGatewayProxyResponseEvent().withStatusCode(200).withBody(event.toString())
                    .withHeaders(Map.of("A", "b")).withIsBase64Encoded(false);
        }
    }

    public static class GatewayEcho implements RequestHandler<APIGatewayProxyRequestEvent, APIGatewayProxyRequestEvent> {
        @Override
        public APIGatewayProxyRequestEvent handleRequest(APIGatewayProxyRequestEvent event, Context context) {
            return event;
        }
    }

    public static class Gateway2 implements RequestHandler<APIGatewayV2HTTPEvent, APIGatewayV2HTTPResponse> {
        @Override
        public APIGatewayV2HTTPResponse handleRequest(APIGatewayV2HTTPEvent event, Context context) {
            return APIGatewayV2HTTPResponse.builder().withStatusCode(201).withBody(event.toString()).build();
        }
    }

    public static class Queue implements RequestHandler<SQSEvent, String> {
        @Override
        public String handleRequest(SQSEvent event, Context context) {
            return event.getRecords().get(0).getBody() + event.getRecords().get(0).getEventSourceArn();
        }
    }

    public static class Topic implements RequestHandler<SNSEvent, SNSEvent> {
        @Override
        public SNSEvent handleRequest(SNSEvent event, Context context) {
            return event;
        }
    }

    public static class Bucket implements RequestHandler<S3Event, String> {
        @Override
        public String handleRequest(S3Event event, Context context) {
            return event.getRecords().get(0).getS3().getObject().getKey() + event.getRecords().get(0).getEventTime();
        }
    }

    public static class Table implements RequestHandler<DynamodbEvent, String> {
        @Override
        public String handleRequest(DynamodbEvent event, Context context) {
            return event.getRecords().get(0).getDynamodb().getNewImage().toString();
        }
    }

    public static class Stream implements RequestHandler<KinesisEvent, String> {
        @Override
        public String handleRequest(KinesisEvent event, Context context) {
            return new String(event.getRecords().get(0).getKinesis().getData().array());
        }
    }

    public static class Schedule implements RequestHandler<ScheduledEvent, String> {
        @Override
        public String handleRequest(ScheduledEvent event, Context context) {
            return event.getDetailType() + " " + event.getTime();
        }
    }
}
