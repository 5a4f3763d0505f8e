package library;

import com.amazonaws.services.lambda.runtime.Context;
import com.amazonaws.services.lambda.runtime.RequestHandler;

public abstract class Base<T, R> implements RequestHandler<T, R> {
    @Override
    public R handleRequest(T input, Context context) {
        return answer(input);
    }

    protected abstract R answer(T input);
}
