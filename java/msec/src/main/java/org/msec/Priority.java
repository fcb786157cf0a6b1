package org.msec;

/** Which request goes first when not all can be served. */
public enum Priority {
    /** Before all others. */
    CRITICAL,
    /** As most. */
    DEFAULT,
    /** What can be done without goes last. */
    SHEDDABLE;

    static Priority of(int number) {
        return values()[Math.min(Math.max(number, 1), 3) - 1];
    }

    int number() {
        return ordinal() + 1;
    }
}
