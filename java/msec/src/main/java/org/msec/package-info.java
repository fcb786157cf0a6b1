/**
 * msec for Java: services and clients on the engine.
 *
 * <p>Nulls are accepted nowhere unless a method says so. All classes are usable from every thread
 * unless they say otherwise. Whatever fails throws a {@link org.msec.MsecException}.
 */
package org.msec;
