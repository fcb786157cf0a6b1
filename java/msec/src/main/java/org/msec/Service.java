package org.msec;

/** A group of methods, most often generated from a {@code service} of a .proto file. */
public interface Service {
    /**
     * Adds the methods.
     *
     * @param methods where to
     */
    void addTo(Methods methods);
}
