/** The log, as the original had it. */
package api.log.msec.org;
