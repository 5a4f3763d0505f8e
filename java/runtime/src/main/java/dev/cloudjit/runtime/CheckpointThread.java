package dev.cloudjit.runtime;

import dev.cloudjit.runtime.api.Invocation;
import dev.cloudjit.runtime.api.RuntimeApi;
import java.io.IOException;
import java.nio.charset.StandardCharsets;

/** Waits, beside an application, until the platform is going to save the process, and renews each copy. */
final class CheckpointThread extends Thread {
    private final RuntimeApi api;
    private final Copying copying;

    CheckpointThread(RuntimeApi api, Copying copying) {
        super("cloudjit-checkpoint");
        setDaemon(true);
        this.api = api;
        this.copying = copying;
    }

    @Override
    public void run() {
        try {
            for (Invocation told = api.next(); ; told = api.next()) {
                if (told.checkpoint) {
                    checkpoint();
                }
            }
        } catch (IOException e) {
            // Nobody is there any more who could save the process; the application goes on.
        }
    }

    /** As {@link Main} does. A copy that could not be renewed must not serve. */
    private void checkpoint() throws IOException {
        try {
            copying.before(api, null);
            copying.after(api.restored());
        } catch (Fault fault) {
            System.err.println(fault.report());
            api.failRestore(Fault.kind(fault), Fault.document(fault).getBytes(StandardCharsets.UTF_8));
            Runtime.getRuntime().halt(1);
        }
    }
}
