/**
 * The Lambda Java runtime client that CloudJIT runs handlers with.
 *
 * <p>What it does by reflection, and a native image must so be told of, is in the trace of any invocation: it looks up
 * the handler's class by name, calls its public constructor without arguments and, where a method is named, looks
 * through its public methods and calls that one; it looks through the members of classes that events or answers are
 * made of and calls their constructors, getters and setters; and it loads, by name,
 * dev.cloudjit.runtime.json.PublishedLibrary when it defers to the published library.
 *
 * <p>It finds the handler, asks the Runtime API for events, calls the handler with them and hands back what it
 * answered, or how it failed, in every visible respect as the published aws-lambda-java-runtime-interface-client does.
 * It must not know tiers, policies or how its sandbox is made.
 */
package dev.cloudjit.runtime;
