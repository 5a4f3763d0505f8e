package dev.cloudjit.runtime.crac;

import java.lang.ref.WeakReference;
import java.util.ArrayList;
import java.util.List;

/**
 * Resources in the order in which they were registered. Before the process is saved the last one is told first, after it
 * the first one. As in the JDKs that have CRaC, a resource that nobody else refers to is forgotten.
 */
public class Context<R extends Resource> implements Resource {
    private final List<WeakReference<R>> resources = new ArrayList<>();

    public synchronized void register(R resource) {
        resources.add(new WeakReference<>(resource));
    }

    private synchronized List<R> present() {
        List<R> present = new ArrayList<>();
        for (WeakReference<R> reference : resources) {
            R resource = reference.get();
            if (resource != null) {
                present.add(resource);
            }
        }
        return present;
    }

    @Override
    public void beforeCheckpoint(Context<? extends Resource> context) throws CheckpointException {
        List<R> present = present();
        CheckpointException failed = null;
        for (int i = present.size() - 1; i >= 0; i--) {
            try {
                present.get(i).beforeCheckpoint(this);
            } catch (Exception e) {
                failed = failed == null ? new CheckpointException("a resource failed: " + e) : failed;
                failed.addSuppressed(e);
            }
        }
        if (failed != null) {
            throw failed;
        }
    }

    @Override
    public void afterRestore(Context<? extends Resource> context) throws RestoreException {
        RestoreException failed = null;
        for (R resource : present()) {
            try {
                resource.afterRestore(this);
            } catch (Exception e) {
                failed = failed == null ? new RestoreException("a resource failed: " + e) : failed;
                failed.addSuppressed(e);
            }
        }
        if (failed != null) {
            throw failed;
        }
    }
}
