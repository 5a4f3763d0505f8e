/**
 * The Lambda Java runtime client that CloudJIT runs handlers with.
 *
 * <p>It finds the handler, asks the Runtime API for events, calls the handler with them and hands back what it
 * answered, or how it failed, in every visible respect as the published aws-lambda-java-runtime-interface-client does.
 * It must not know tiers, policies or how its sandbox is made.
 */
package dev.cloudjit.runtime;
