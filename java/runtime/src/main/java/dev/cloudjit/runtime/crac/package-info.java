/**
 * The hooks of CRaC, for functions that use the published {@code org.crac} library: that looks for an implementation by the
 * name of its package, in the system property {@code org.crac.Core.Compat}, and finds these classes by their names.
 * https://github.com/CRaC/org.crac
 */
package dev.cloudjit.runtime.crac;
