/**
 * JSON between events and Java values, as fast to load as it can be.
 *
 * <p>What it reads and writes is exactly what the published serialization library (Jackson in the configuration of
 * aws-lambda-java-serialization) would; where it is not certain of that it throws {@link
 * dev.cloudjit.runtime.json.Doubt} and the published library does the whole work. It must not know the Runtime API,
 * handlers or contexts.
 *
 * <p>Written without lambdas, streams, regular expressions and string formats: each costs milliseconds at the first use.
 */
package dev.cloudjit.runtime.json;
