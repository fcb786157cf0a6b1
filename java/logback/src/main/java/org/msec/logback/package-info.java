/** An appender of Logback that writes the log of the engine. */
package org.msec.logback;
