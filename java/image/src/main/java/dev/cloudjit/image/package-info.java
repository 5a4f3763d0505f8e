/**
 * What takes part in building a native image: the {@link dev.cloudjit.image.Linker}, which runs
 * before over the image's class path, and the {@link dev.cloudjit.image.LambdaFeature}, which runs
 * within the builder. Neither initializes a class of the application nor runs its code. It must
 * not know frameworks.
 */
package dev.cloudjit.image;
