package org.msec;

import java.lang.annotation.Documented;
import java.lang.annotation.ElementType;
import java.lang.annotation.Retention;
import java.lang.annotation.RetentionPolicy;
import java.lang.annotation.Target;

/**
 * The method, or each of the class, answers from memory in microseconds: it runs on the poller
 * itself, which saves a switch of threads. It must not block: everybody would wait for it, so
 * calls that would fail in it with -2.
 */
@Documented
@Retention(RetentionPolicy.RUNTIME)
@Target({ElementType.METHOD, ElementType.TYPE})
public @interface NonBlocking {}
