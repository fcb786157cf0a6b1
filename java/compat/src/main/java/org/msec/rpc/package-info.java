/**
 * The original engine's framework for Java, on msec: sources that were written against it compile
 * and run unchanged. New code uses {@code org.msec}.
 */
package org.msec.rpc;
