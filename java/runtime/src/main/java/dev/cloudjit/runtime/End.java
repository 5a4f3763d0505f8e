package dev.cloudjit.runtime;

import dev.cloudjit.runtime.api.RuntimeApi;

/** What a worker does when it is told to end: it waits for nothing any more. A class, since a lambda takes milliseconds to make. */
final class End extends Thread {
    private final RuntimeApi api;

    End(RuntimeApi api) {
        super("runtime-end");
        this.api = api;
    }

    @Override
    public void run() {
        api.end();
    }
}
