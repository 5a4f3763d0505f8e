package dev.cloudjit.runtime;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import com.amazonaws.services.lambda.runtime.Context;
import com.amazonaws.services.lambda.runtime.api.client.AWSLambda;
import com.amazonaws.services.lambda.runtime.api.client.EventHandlerLoader;
import com.amazonaws.services.lambda.runtime.api.client.HandlerInfo;
import com.amazonaws.services.lambda.runtime.api.client.LambdaRequestHandler;
import com.amazonaws.services.lambda.runtime.api.client.UserFault;
import com.amazonaws.services.lambda.runtime.api.client.runtimeapi.converters.LambdaErrorConverter;
import com.amazonaws.services.lambda.runtime.api.client.runtimeapi.dto.ErrorRequest;
import com.amazonaws.services.lambda.runtime.api.client.runtimeapi.dto.InvocationRequest;
import dev.cloudjit.runtime.api.Body;
import dev.cloudjit.runtime.json.JsonText;
import java.lang.reflect.Field;
import java.lang.reflect.Proxy;
import java.net.URL;
import java.net.URLClassLoader;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Every handler answers, and fails, as under the published client. */
class HandlerOracleTest {
    @BeforeAll
    static void givePublishedClientItsLoader() throws Exception {
        Field loader = AWSLambda.class.getDeclaredField("customerClassLoader");
        loader.setAccessible(true);
        loader.set(null, new URLClassLoader(new URL[0], ClassLoader.getSystemClassLoader()));
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', quoteCharacter = '`', textBlock = """
        OfMap | {"a":1,"b":{"c":[1.5,null]},"d":null}
        OfMap | []
        OfMap | "x"
        OfMap | {broken
        OfMap | null
        OfString | "x"
        OfString | 5
        OfString | {"not":"a string"}
        OfBean | {"name":"n","tags":["a"],"color":"GREEN","count":3,"bytes":"aGk=","other":1}
        OfBean | {"name":["unwrapped"],"count":"4","color":"NONE"}
        OfBean | null
        OfBean | {"count":"four"}
        OfRecord | {"x":1,"label":"l"}
        Raw | {"a":1}
        Inherited | [null]
        ByDefault | 41
        Generic | {}
        Returning | "x"
        OfObject | {"x":[1,2]}
        OfObject | "bean"
        OfObject | "record"
        Streaming | {"raw": 1}
        StreamFailing | {}
        Throwing | "message"
        BadConstructor | "x"
        WithArgument | "x"
        Inner | "x"
        NoHandler | "x"
        Methods::one | "x"
        Methods::still | ["a","b"]
        Methods::number | 21
        Methods::number | null
        Methods::nothing | "ignored"
        Methods::contextOnly | {}
        Methods::silent | "x"
        Methods::in | {}
        Methods::out | {}
        Methods::inOut | {"a":1}
        Methods::all | {"a":1}
        Methods::overloaded | "x"
        Methods::four | "x"
        Methods::two | "x"
        Methods::failing | "x"
        Methods::hidden | "x"
        Methods::missing | "x"
        Methods::variable | {"a":1}
        Bridged::echo | "x"
        Gateway | {"path":"/p","httpMethod":"GET","headers":{"H":"v"},"queryStringParameters":{"q":"1"},"requestContext":{"accountId":"1","identity":{"sourceIp":"127.0.0.1"},"authorizer":{"claims":{"sub":"me"}}},"body":"b","isBase64Encoded":true}
        GatewayEcho | {"resource":"/{p}","path":"/p","httpMethod":"POST","multiValueHeaders":{"H":["a","b"]},"pathParameters":{"p":"x"},"stageVariables":null,"requestContext":{"requestTimeEpoch":1,"stage":"s","identity":{"userAgent":"u"}},"isBase64Encoded":false}
        Gateway2 | {"version":"2.0","routeKey":"$default","rawPath":"/p","headers":{"h":"v"},"requestContext":{"http":{"method":"GET","path":"/p"},"timeEpoch":5},"isBase64Encoded":false}
        Queue | {"Records":[{"messageId":"1","body":"hello","eventSourceARN":"arn:x","attributes":{"a":"b"}}]}
        Topic | {"Records":[{"EventSource":"aws:sns","Sns":{"Message":"m","Timestamp":"2020-01-02T03:04:05.000Z"}}]}
        Bucket | {"Records":[{"eventTime":"2020-01-02T03:04:05.000Z","eventName":"ObjectCreated:Put","s3":{"bucket":{"name":"b"},"object":{"key":"k","size":3}}}]}
        Table | {"Records":[{"eventName":"INSERT","dynamodb":{"NewImage":{"Id":{"N":"1"},"S":{"S":"x"}}}}]}
        Stream | {"Records":[{"kinesis":{"data":"aGVsbG8=","sequenceNumber":"1"}}]}
        Schedule | {"detail-type":"Scheduled Event","time":"2020-01-02T03:04:05Z","detail":{}}
        """)
    void answersAlike(String handler, String event) throws Exception {
        String name = Samples.class.getName() + "$" + handler;
        assertEquals(published(name, event), ours(name, event));
    }

    /** The published client leaves variables inside other types open: the handler gets maps, and fails. */
    @Test
    void resolvesVariablesInsideOtherTypes() {
        String name = Samples.class.getName() + "$Inherited";
        assertEquals("\"inner\"", ours(name, "[{\"name\":\"inner\"}]"));
        assertEquals("\"single\"", ours(name, "{\"name\":\"single\"}"));
    }

    @Test
    void failingInitializerIsFatal() {
        Fault fault = assertThrows(Fault.class, () -> Handlers.load(Samples.class.getName() + "$BadInitializer"));
        assertEquals(true, fault.fatal);
        assertEquals("java.lang.ExceptionInInitializerError", fault.exception);
    }

    @Test
    void missingClassIsToldToEveryInvocation() {
        assertEquals("{\"errorMessage\":\"Class not found: no.Such\",\"errorType\":\"java.lang.ClassNotFoundException\"}",
                ours("no.Such", "{}"));
        assertEquals("{\"errorMessage\":\"Invalid handler: `::x'\"}", ours("::x", "{}"));
    }

    static String published(String name, String event) throws Exception {
        InvocationRequest request = new InvocationRequest();
        request.setId("id-1");
        request.setDeadlineTimeInMs(System.currentTimeMillis() + 1000);
        request.setContent(event.getBytes(StandardCharsets.UTF_8));
        LambdaRequestHandler handler =
                EventHandlerLoader.loadEventHandler(HandlerInfo.fromString(name, ClassLoader.getSystemClassLoader()));
        try {
            return handler.call(request).toString(StandardCharsets.UTF_8);
        } catch (UserFault fault) {
            ErrorRequest error = LambdaErrorConverter.fromUserFault(fault);
            return (fault.fatal ? "fatal " : "")
                    + new JsonText().member("errorMessage", error.errorMessage).member("errorType", error.errorType).end();
        } catch (Throwable t) {
            UserFault.filterStackTrace(t);
            ErrorRequest error = LambdaErrorConverter.fromThrowable(t);
            return new JsonText().member("errorMessage", error.errorMessage).member("errorType", error.errorType)
                    .member("stackTrace", own(error.stackTrace)).end();
        }
    }

    static String ours(String name, String event) {
        Body answer = new Body();
        Context context = (Context) Proxy.newProxyInstance(Context.class.getClassLoader(), new Class<?>[] {Context.class},
                (proxy, method, arguments) -> method.getName().equals("getAwsRequestId") ? "id-1" : null);
        try {
            Handlers.load(name).handle(event.getBytes(StandardCharsets.UTF_8), context, answer);
            return new String(answer.toByteArray(), StandardCharsets.UTF_8);
        } catch (Fault fault) {
            return (fault.fatal ? "fatal " : "") + Fault.document(fault);
        } catch (Throwable t) {
            // The samples share this package's name, so the client's own filter would remove their frames too.
            List<String> frames = new ArrayList<>();
            for (StackTraceElement frame : t.getStackTrace()) {
                frames.add(frame.toString());
            }
            return new JsonText().member("errorMessage", t.getLocalizedMessage() == null ? t.getClass().getName() : t.getLocalizedMessage())
                    .member("errorType", t.getClass().getName()).member("stackTrace", own(frames.toArray(new String[0]))).end();
        }
    }

    /** The frames of the sample: what the clients have below them differs. */
    private static String[] own(String[] frames) {
        List<String> own = new ArrayList<>();
        for (String frame : frames) {
            if (frame.contains("Samples") || frame.startsWith("forms.")) {
                own.add(frame);
            }
        }
        return own.toArray(new String[0]);
    }
}
