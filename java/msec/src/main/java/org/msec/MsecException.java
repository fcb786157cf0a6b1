package org.msec;

/**
 * Whatever goes wrong in msec, with a {@link Status}: an error that the callee answered with, a
 * call that did not get there, an engine that is closed.
 *
 * <p>A handler that throws one answers with its status and message.
 */
public final class MsecException extends RuntimeException {
    private static final long serialVersionUID = 1L;

    /** The number, since a status is no part of the serialized form. */
    private final int code;

    /**
     * An error of a kind.
     *
     * @param status the kind; not {@link Status#OK}
     * @param message what happened, to what, and the likely cause; no user data
     */
    public MsecException(Status status, String message) {
        this(status.code(), message);
    }

    /**
     * An error of a kind that has a cause.
     *
     * @param status the kind; not {@link Status#OK}
     * @param message what happened, to what, and the likely cause; no user data
     * @param cause what threw
     */
    public MsecException(Status status, String message, Throwable cause) {
        this(status, message);
        initCause(cause);
    }

    /** What the native library throws. */
    MsecException(int code, String message) {
        super(message);
        this.code = code;
    }

    /**
     * What kind of error it is, whose side has to act, and whether another attempt may do better.
     *
     * @return the status, also of a code that this version does not know
     */
    public Status status() {
        return Status.of(code);
    }

    @Override
    public String toString() {
        String message = getMessage();
        String text = code + " " + status().text();
        // What the engine says begins with the code already.
        if (message == null || message.isEmpty()) {
            return "MsecException: " + text;
        }
        return "MsecException: " + (message.startsWith(text) ? message : text + ": " + message);
    }
}
