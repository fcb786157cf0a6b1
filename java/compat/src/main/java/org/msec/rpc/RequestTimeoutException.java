package org.msec.rpc;

/** No answer has come in time. */
public class RequestTimeoutException extends RuntimeException {
    private static final long serialVersionUID = 1L;

    /**
     * Of a call.
     *
     * @param message which call, and how long was waited
     */
    public RequestTimeoutException(String message) {
        super(message);
    }

    RequestTimeoutException(String message, Throwable cause) {
        super(message, cause);
    }
}
