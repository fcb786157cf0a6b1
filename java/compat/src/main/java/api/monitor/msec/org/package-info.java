/** Attributes, as the original had them. */
package api.monitor.msec.org;
