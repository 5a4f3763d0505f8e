/** The Lambda Runtime API over one kept-alive HTTP/1.1 connection. Knows neither handlers nor JSON values. */
package dev.cloudjit.runtime.api;
