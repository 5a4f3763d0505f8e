package dev.cloudjit.runtime;

/** What is done around a checkpoint. Both throw a Fault that ends the process. */
interface Copying {
    /** Before the process is saved. */
    void before(Object handler);

    /** In each copy, before it serves. */
    void after();
}
