package dev.cloudjit.runtime.crac;

/** Where resources are registered. */
public final class Core {
    private static final Context<Resource> GLOBAL = new Context<>();

    private Core() {}

    public static Context<Resource> getGlobalContext() {
        return GLOBAL;
    }

    /** The platform decides when a process is saved. */
    public static void checkpointRestore() throws CheckpointException, RestoreException {
        throw new UnsupportedOperationException("the platform decides when a process is saved");
    }
}
