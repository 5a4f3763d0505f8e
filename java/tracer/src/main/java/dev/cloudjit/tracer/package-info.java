/**
 * CloudJIT's tracer: a Java agent that records what native-image must be told of a program
 * (reflection, method handles, proxies, resources, serialization, what native libraries look
 * up) and writes it as reachability-metadata.json while the program runs.
 *
 * <p>{@link dev.cloudjit.tracer.Points} lists the JDK's methods that are watched, {@link
 * dev.cloudjit.tracer.Weaver} puts a call to {@link dev.cloudjit.tracer.Hooks} into each, {@link
 * dev.cloudjit.tracer.Callers} decides for whom something was done, {@link
 * dev.cloudjit.tracer.Trace} holds what was seen and {@link dev.cloudjit.tracer.TraceFile} writes
 * it. Everything runs inside the threads of the traced program, at any depth of its locks: so no
 * hook blocks, throws, or calls code of the program, and none uses a lambda, a string
 * concatenation by invokedynamic or anything else that would look up reflectively.
 */
package dev.cloudjit.tracer;
