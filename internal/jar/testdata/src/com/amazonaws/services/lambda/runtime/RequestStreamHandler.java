package com.amazonaws.services.lambda.runtime;

import java.io.InputStream;
import java.io.OutputStream;

public interface RequestStreamHandler {
    void handleRequest(InputStream in, OutputStream out, Context context);
}
