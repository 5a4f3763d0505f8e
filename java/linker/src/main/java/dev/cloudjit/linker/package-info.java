/**
 * Runs before a native image is built, over the image's class path, and writes stand-ins for the
 * classes that HotSpot cannot link. It initializes no class of the application and runs none of
 * its code. It must not know builders or frameworks.
 */
package dev.cloudjit.linker;
