/** Routes, as the original had them. */
package api.lb.msec.org;
