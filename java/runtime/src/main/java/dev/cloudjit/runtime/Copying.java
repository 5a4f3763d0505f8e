package dev.cloudjit.runtime;

import dev.cloudjit.runtime.api.RuntimeApi;
import java.util.Map;

/** What is done around a checkpoint. Both throw a Fault that ends the process. */
interface Copying {
    /** Before the process is saved. Api is what its copies will ask first. */
    void before(RuntimeApi api, Object handler);

    /** In each copy, before it serves. Changed is what of its environment is otherwise than in the process that was saved. */
    void after(Map<String, String> changed);
}
