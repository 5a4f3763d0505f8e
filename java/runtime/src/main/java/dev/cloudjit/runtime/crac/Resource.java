package dev.cloudjit.runtime.crac;

/** What is told before the process is saved, and after it went on. */
public interface Resource {
    void beforeCheckpoint(Context<? extends Resource> context) throws Exception;

    void afterRestore(Context<? extends Resource> context) throws Exception;
}
