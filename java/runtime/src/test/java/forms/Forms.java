package forms;

import com.amazonaws.services.lambda.runtime.Context;
import com.amazonaws.services.lambda.runtime.RequestHandler;
import com.amazonaws.services.lambda.runtime.RequestStreamHandler;
import com.amazonaws.services.lambda.runtime.events.APIGatewayCustomAuthorizerEvent;
import com.amazonaws.services.lambda.runtime.events.APIGatewayV2WebSocketEvent;
import com.amazonaws.services.lambda.runtime.events.ActiveMQEvent;
import com.amazonaws.services.lambda.runtime.events.ApplicationLoadBalancerRequestEvent;
import com.amazonaws.services.lambda.runtime.events.ApplicationLoadBalancerResponseEvent;
import com.amazonaws.services.lambda.runtime.events.CloudFormationCustomResourceEvent;
import com.amazonaws.services.lambda.runtime.events.CloudFrontEvent;
import com.amazonaws.services.lambda.runtime.events.CloudWatchLogsEvent;
import com.amazonaws.services.lambda.runtime.events.CodeCommitEvent;
import com.amazonaws.services.lambda.runtime.events.CognitoEvent;
import com.amazonaws.services.lambda.runtime.events.CognitoUserPoolPreSignUpEvent;
import com.amazonaws.services.lambda.runtime.events.ConfigEvent;
import com.amazonaws.services.lambda.runtime.events.ConnectEvent;
import com.amazonaws.services.lambda.runtime.events.DynamodbEvent;
import com.amazonaws.services.lambda.runtime.events.IoTButtonEvent;
import com.amazonaws.services.lambda.runtime.events.KafkaEvent;
import com.amazonaws.services.lambda.runtime.events.KinesisAnalyticsStreamsInputPreprocessingEvent;
import com.amazonaws.services.lambda.runtime.events.KinesisEvent;
import com.amazonaws.services.lambda.runtime.events.KinesisFirehoseEvent;
import com.amazonaws.services.lambda.runtime.events.LexEvent;
import com.amazonaws.services.lambda.runtime.events.RabbitMQEvent;
import com.amazonaws.services.lambda.runtime.events.S3BatchEvent;
import com.amazonaws.services.lambda.runtime.events.S3Event;
import com.amazonaws.services.lambda.runtime.events.SNSEvent;
import com.amazonaws.services.lambda.runtime.events.SQSBatchResponse;
import com.amazonaws.services.lambda.runtime.events.SQSEvent;
import com.amazonaws.services.lambda.runtime.events.ScheduledEvent;
import com.amazonaws.services.lambda.runtime.events.SecretsManagerRotationEvent;
import com.amazonaws.services.lambda.runtime.events.SimpleIAMPolicyResponse;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.io.Serializable;
import java.io.UncheckedIOException;
import java.math.BigDecimal;
import java.math.BigInteger;
import java.time.Duration;
import java.time.Instant;
import java.time.LocalDate;
import java.util.Calendar;
import java.util.Collection;
import java.util.Date;
import java.util.EnumMap;
import java.util.EnumSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.Set;
import java.util.SortedMap;
import java.util.TreeMap;
import java.util.UUID;
import java.util.concurrent.CompletableFuture;
import java.util.stream.Stream;

/** Every form of handler that the Java runtime takes, each as a class or a method of its own. */
public final class Forms {
    private Forms() {}

    // Records.

    public enum Kind {
        TEA,
        JAM {
            @Override
            public String toString() {
                return "jam!";
            }
        }
    }

    public record Item(String name, int count, Kind kind) {}

    public record Order(String id, List<Item> items, Map<String, Item> byName, Optional<String> note, Item[] rest) {}

    public record Checked(int n) {
        public Checked {
            if (n < 0) {
                throw new IllegalArgumentException("n is " + n);
            }
        }
    }

    public record TwoWays(String a, int b) {
        public TwoWays(String a) {
            this(a, 7);
        }

        public String getShown() {
            return a + b;
        }

        public static TwoWays of(String a) {
            return new TwoWays(a);
        }
    }

    public record Empty() {}

    public record Page<T>(T first, List<T> all) {}

    public record Words(String URL, String aB, boolean isOpen, Boolean ready, char letter, byte[] bytes) {}

    public static class OfRecords implements RequestHandler<Order, Order> {
        @Override
        public Order handleRequest(Order event, Context context) {
            return event;
        }
    }

    public static class OfChecked implements RequestHandler<Checked, Checked> {
        @Override
        public Checked handleRequest(Checked event, Context context) {
            return event;
        }
    }

    public static class OfTwoWays implements RequestHandler<TwoWays, TwoWays> {
        @Override
        public TwoWays handleRequest(TwoWays event, Context context) {
            return event;
        }
    }

    public static class OfEmpty implements RequestHandler<Empty, Empty> {
        @Override
        public Empty handleRequest(Empty event, Context context) {
            return event;
        }
    }

    public static class OfPage implements RequestHandler<Page<Item>, Page<Item>> {
        @Override
        public Page<Item> handleRequest(Page<Item> event, Context context) {
            return event;
        }
    }

    public static class OfWords implements RequestHandler<Words, Words> {
        @Override
        public Words handleRequest(Words event, Context context) {
            return event;
        }
    }

    public static class ListOfRecords implements RequestHandler<List<Item>, Map<String, List<Item>>> {
        @Override
        public Map<String, List<Item>> handleRequest(List<Item> event, Context context) {
            return Map.of(event.get(0).getClass().getSimpleName(), event);
        }
    }

    // Enums, dates, numbers and other values.

    public static class OfEnum implements RequestHandler<Kind, Kind> {
        @Override
        public Kind handleRequest(Kind event, Context context) {
            return event;
        }
    }

    public static class Values {
        public Date date;
        public Calendar calendar;
        public Kind kind;
        public EnumMap<Kind, Integer> counts;
        public EnumSet<Kind> kinds;
        public BigDecimal decimal;
        public BigInteger integer;
        public UUID uuid;
        public Locale locale;
        public char letter;
        public char[] letters;
        public byte small;
        public short[] shorts;
        public double[][] matrix;
        public Float floating;
        public Set<Long> longs;
        public Collection<Boolean> flags;
        public SortedMap<String, Integer> sorted;
        public Map<Integer, String> numbered;
        public Map<Kind, Date> dated;
        public Object any;
        public Class<?> type;
    }

    public static class OfValues implements RequestHandler<Values, Values> {
        @Override
        public Values handleRequest(Values event, Context context) {
            return event;
        }
    }

    public static class OfDate implements RequestHandler<Date, Date> {
        @Override
        public Date handleRequest(Date event, Context context) {
            return event;
        }
    }

    public static class Times {
        public Instant instant;
        public LocalDate day;
        public Duration duration;
    }

    public static class OfTimes implements RequestHandler<Times, Times> {
        @Override
        public Times handleRequest(Times event, Context context) {
            return event;
        }
    }

    public static class OfInstant implements RequestHandler<String, Instant> {
        @Override
        public Instant handleRequest(String event, Context context) {
            return Instant.EPOCH;
        }
    }

    // Inheritance.

    public static class Animal {
        private String name;
        protected int legs = 4;

        public String getName() {
            return name;
        }

        public void setName(String name) {
            this.name = name;
        }

        public int getLegs() {
            return legs;
        }

        public void setLegs(int legs) {
            this.legs = legs;
        }
    }

    public static class Dog extends Animal {
        private boolean barks;

        public boolean isBarks() {
            return barks;
        }

        public void setBarks(boolean barks) {
            this.barks = barks;
        }

        @Override
        public String getName() {
            return "dog " + super.getName();
        }
    }

    public static class OfDog implements RequestHandler<Dog, Dog> {
        @Override
        public Dog handleRequest(Dog event, Context context) {
            return event;
        }
    }

    public static class DogAsAnimal implements RequestHandler<Dog, Animal> {
        @Override
        public Animal handleRequest(Dog event, Context context) {
            return event;
        }
    }

    public static class DogAsObject implements RequestHandler<Dog, Object> {
        @Override
        public Object handleRequest(Dog event, Context context) {
            return event;
        }
    }

    public abstract static class Abstract {
        public String a = "a";
    }

    public static class OfAbstract implements RequestHandler<Abstract, String> {
        @Override
        public String handleRequest(Abstract event, Context context) {
            return event.a;
        }
    }

    public interface Named {
        String getName();
    }

    public static class OfInterface implements RequestHandler<String, Named> {
        @Override
        public Named handleRequest(String event, Context context) {
            return () -> event;
        }
    }

    public static class Getters {
        private final String fixed = "f";

        public String getFixed() {
            return fixed;
        }

        public String getThrown() {
            throw new IllegalStateException("a getter");
        }
    }

    public static class OfGetters implements RequestHandler<String, Getters> {
        @Override
        public Getters handleRequest(String event, Context context) {
            return new Getters();
        }
    }

    public static class Cyclic {
        public Cyclic self;
    }

    public static class OfCyclic implements RequestHandler<String, Cyclic> {
        @Override
        public Cyclic handleRequest(String event, Context context) {
            Cyclic c = new Cyclic();
            c.self = c;
            return c;
        }
    }

    public static class Fluent {
        private String name;

        public Fluent setName(String name) {
            this.name = name;
            return this;
        }

        public String getName() {
            return name;
        }
    }

    public static class OfFluent implements RequestHandler<Fluent, Fluent> {
        @Override
        public Fluent handleRequest(Fluent event, Context context) {
            return event;
        }
    }

    public static class NoDefault {
        public final String name;

        public NoDefault(String name) {
            this.name = name;
        }
    }

    public static class OfNoDefault implements RequestHandler<NoDefault, NoDefault> {
        @Override
        public NoDefault handleRequest(NoDefault event, Context context) {
            return event;
        }
    }

    // Generic, inherited and bridge methods.

    public abstract static class Crud<K extends Serializable, V> implements RequestHandler<Map<K, V>, V> {
        @Override
        public V handleRequest(Map<K, V> event, Context context) {
            return pick(event);
        }

        protected abstract V pick(Map<K, V> event);
    }

    public abstract static class Middle<X> extends Crud<String, X> {}

    public static class Deep extends Middle<Integer> {
        @Override
        protected Integer pick(Map<String, Integer> event) {
            return event.get("a") + 1;
        }
    }

    public static class Again extends OfDog {}

    public static class Bounded<T extends Animal> implements RequestHandler<T, String> {
        @Override
        public String handleRequest(T event, Context context) {
            return event.getName();
        }
    }

    public interface Echo<T> {
        default T echo(T value) {
            return value;
        }
    }

    public static class EchoOfStrings implements Echo<String> {}

    public static class Parent {
        public Object covariant(String event) {
            return "parent";
        }

        public String inherited(String event) {
            return "inherited " + event;
        }

        public static String hidden(String event) {
            return "parent";
        }
    }

    public static class Child extends Parent {
        @Override
        public String covariant(String event) {
            return "child";
        }

        public static String hidden(String event) {
            return "child";
        }
    }

    static class Invisible {
        public String method(String event) {
            return event;
        }
    }

    public static class Visible extends Invisible {}

    public static class Methods {
        public <T extends Animal> String generic(T event) {
            return event.getName();
        }

        public Map<String, Set<Integer>> nested(List<Map<String, List<Integer>>> event) {
            return Map.of("n", Set.of(event.get(0).get("a").get(0)));
        }

        public String wildcard(List<? extends Animal> event) {
            return event.get(0).getName();
        }

        public int[] array(int[] event) {
            return event;
        }

        public String varargs(String... event) {
            return String.join("-", event);
        }

        public boolean primitive(boolean event) {
            return !event;
        }

        public long wide(long event) {
            return event;
        }

        public Integer boxed(Integer event, Context context) {
            return event;
        }

        public Void none(Object event) {
            return null;
        }

        public Optional<String> optional(Optional<String> event) {
            return event;
        }

        public CompletableFuture<String> future(String event) {
            return CompletableFuture.completedFuture(event);
        }

        public Stream<String> stream(String event) {
            return Stream.of(event);
        }

        public CharSequence sequence(CharSequence event) {
            return event;
        }

        public byte[] bytes(byte[] event) {
            return event;
        }

        public String streamOnly(InputStream in, Context context) throws IOException {
            return "never seen";
        }

        public void outOnly(OutputStream out, Context context) throws IOException {
            out.write(1);
        }

        public void streams(InputStream in, OutputStream out) throws IOException {
            in.transferTo(out);
        }

        public String contextFirst(Context context, String event) {
            return event;
        }

        public Order ordered(Order event) {
            return event;
        }

        public static Kind kind(Kind event) {
            return event;
        }

        public synchronized String locked(String event) {
            return event;
        }

        public final String last(String event) throws Exception {
            throw new IOException("io", new UncheckedIOException("why", new IOException("root")));
        }

        public String error(String event) {
            throw new AssertionError("error");
        }

        public String nullMessage(String event) {
            throw new NullPointerException();
        }
    }

    public static class Closing implements RequestStreamHandler {
        @Override
        public void handleRequest(InputStream in, OutputStream out, Context context) throws IOException {
            try (in; out) {
                out.write(in.readNBytes(3));
                out.flush();
            }
        }
    }

    public static class Nothing implements RequestStreamHandler {
        @Override
        public void handleRequest(InputStream in, OutputStream out, Context context) {}
    }

    public static class Both implements RequestHandler<String, String>, RequestStreamHandler {
        @Override
        public String handleRequest(String event, Context context) {
            return "object";
        }

        @Override
        public void handleRequest(InputStream in, OutputStream out, Context context) throws IOException {
            out.write("\"stream\"".getBytes());
        }
    }

    // Events of AWS services: what arrives is echoed, so that both directions are compared.

    public static class Events {
        public SQSEvent sqs(SQSEvent e) {
            return e;
        }

        public SQSBatchResponse sqsBatch(SQSEvent e) {
            return new SQSBatchResponse(List.of(new SQSBatchResponse.BatchItemFailure(e.getRecords().get(0).getMessageId())));
        }

        public SNSEvent sns(SNSEvent e) {
            return e;
        }

        public S3Event s3(S3Event e) {
            return e;
        }

        public S3BatchEvent s3Batch(S3BatchEvent e) {
            return e;
        }

        public DynamodbEvent dynamodb(DynamodbEvent e) {
            return e;
        }

        public KinesisEvent kinesis(KinesisEvent e) {
            return e;
        }

        public KinesisFirehoseEvent firehose(KinesisFirehoseEvent e) {
            return e;
        }

        public KinesisAnalyticsStreamsInputPreprocessingEvent analytics(KinesisAnalyticsStreamsInputPreprocessingEvent e) {
            return e;
        }

        public ScheduledEvent scheduled(ScheduledEvent e) {
            return e;
        }

        public CloudWatchLogsEvent logs(CloudWatchLogsEvent e) {
            return e;
        }

        public CloudFrontEvent cloudFront(CloudFrontEvent e) {
            return e;
        }

        public CodeCommitEvent codeCommit(CodeCommitEvent e) {
            return e;
        }

        public CognitoEvent cognito(CognitoEvent e) {
            return e;
        }

        public CognitoUserPoolPreSignUpEvent signUp(CognitoUserPoolPreSignUpEvent e) {
            return e;
        }

        public ConfigEvent config(ConfigEvent e) {
            return e;
        }

        public ConnectEvent connect(ConnectEvent e) {
            return e;
        }

        public IoTButtonEvent button(IoTButtonEvent e) {
            return e;
        }

        public LexEvent lex(LexEvent e) {
            return e;
        }

        public KafkaEvent kafka(KafkaEvent e) {
            return e;
        }

        public ActiveMQEvent activeMq(ActiveMQEvent e) {
            return e;
        }

        public RabbitMQEvent rabbitMq(RabbitMQEvent e) {
            return e;
        }

        public SecretsManagerRotationEvent rotation(SecretsManagerRotationEvent e) {
            return e;
        }

        public CloudFormationCustomResourceEvent resource(CloudFormationCustomResourceEvent e) {
            return e;
        }

        public APIGatewayCustomAuthorizerEvent authorizer(APIGatewayCustomAuthorizerEvent e) {
            return e;
        }

        public SimpleIAMPolicyResponse simplePolicy(String e) {
            return new SimpleIAMPolicyResponse(true, Map.of("k", e));
        }

        public APIGatewayV2WebSocketEvent webSocket(APIGatewayV2WebSocketEvent e) {
            return e;
        }

        public ApplicationLoadBalancerResponseEvent balancer(ApplicationLoadBalancerRequestEvent e) {
            ApplicationLoadBalancerResponseEvent r = new ApplicationLoadBalancerResponseEvent();
            r.setStatusCode(200);
            r.setBody(Objects.toString(e.getQueryStringParameters() == null ? null : new TreeMap<>(e.getQueryStringParameters())));
            return r;
        }
    }
}
