package corpus.pets;

import com.amazonaws.serverless.exceptions.ContainerInitializationException;
import com.amazonaws.serverless.proxy.model.AwsProxyRequest;
import com.amazonaws.serverless.proxy.model.AwsProxyResponse;
import com.amazonaws.serverless.proxy.spring.SpringBootLambdaContainerHandler;
import com.amazonaws.services.lambda.runtime.Context;
import com.amazonaws.services.lambda.runtime.RequestStreamHandler;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;

/** The handler of aws-serverless-java-container's archetype: API Gateway's events become requests to Spring MVC. */
public class PetsHandler implements RequestStreamHandler {
    private static final SpringBootLambdaContainerHandler<AwsProxyRequest, AwsProxyResponse> CONTAINER;

    static {
        try {
            CONTAINER = SpringBootLambdaContainerHandler.getAwsProxyHandler(PetsApplication.class);
        } catch (ContainerInitializationException e) {
            throw new IllegalStateException("the application does not start", e);
        }
    }

    @Override
    public void handleRequest(InputStream event, OutputStream answer, Context context) throws IOException {
        CONTAINER.proxyStream(event, answer, context);
    }
}
