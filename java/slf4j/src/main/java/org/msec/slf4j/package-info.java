/** SLF4J that writes the log of the engine. */
package org.msec.slf4j;
