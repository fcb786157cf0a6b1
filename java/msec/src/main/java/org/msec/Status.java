// Written by `cargo xtask gen`; not edited by hand.

package org.msec;

import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** What a call ends with: the codes of the protocol, and what is known of each. */
public final class Status {
    /** Whose doing a failure is, which is who has to act. */
    public enum Side {
        /** Nobody: the call succeeded. */
        NOBODY,
        /** The caller: the request itself is wrong, and will be wrong the next time. */
        CALLER,
        /** The service that was called. */
        PEER,
        /** This process, before anything was sent or after everything was received. */
        LOCAL,
        /** What lies between: network, naming, the machines. */
        PLATFORM
    }

    /** 0: success. */
    public static final Status OK =
            new Status(
                    0, "OK",
                    "success",
                    false, Side.NOBODY);

    /** -1: invalid parameter. */
    public static final Status INVALID_PARAMETER =
            new Status(
                    -1, "INVALID_PARAMETER",
                    "invalid parameter",
                    false, Side.CALLER);

    /** -2: system error. */
    public static final Status SYSTEM_ERROR =
            new Status(
                    -2, "SYSTEM_ERROR",
                    "system error",
                    false, Side.LOCAL);

    /** -3: invalid package. */
    public static final Status INVALID_PACKAGE =
            new Status(
                    -3, "INVALID_PACKAGE",
                    "invalid package",
                    false, Side.CALLER);

    /** -4: invalid package header. */
    public static final Status INVALID_HEAD =
            new Status(
                    -4, "INVALID_HEAD",
                    "invalid package header",
                    false, Side.CALLER);

    /** -5: invalid package body. */
    public static final Status INVALID_BODY =
            new Status(
                    -5, "INVALID_BODY",
                    "invalid package body",
                    false, Side.CALLER);

    /** -6: invalid method name. */
    public static final Status INVALID_METHOD =
            new Status(
                    -6, "INVALID_METHOD",
                    "invalid method name",
                    false, Side.CALLER);

    /** -7: package header uninitialized. */
    public static final Status HEAD_UNSET =
            new Status(
                    -7, "HEAD_UNSET",
                    "package header uninitialized",
                    false, Side.LOCAL);

    /** -8: package body uninitialized. */
    public static final Status BODY_UNSET =
            new Status(
                    -8, "BODY_UNSET",
                    "package body uninitialized",
                    false, Side.LOCAL);

    /** -9: no memory. */
    public static final Status NO_MEMORY =
            new Status(
                    -9, "NO_MEMORY",
                    "no memory",
                    false, Side.LOCAL);

    /** -10: timeout. */
    public static final Status TIMEOUT =
            new Status(
                    -10, "TIMEOUT",
                    "timeout",
                    false, Side.PEER);

    /** -11: network error. */
    public static final Status NETWORK =
            new Status(
                    -11, "NETWORK",
                    "network error",
                    false, Side.PLATFORM);

    /** -12: recevice timeout. */
    public static final Status RECV_TIMEOUT =
            new Status(
                    -12, "RECV_TIMEOUT",
                    "recevice timeout",
                    false, Side.PEER);

    /** -13: network sendrecv failed. */
    public static final Status SEND_RECV_FAILED =
            new Status(
                    -13, "SEND_RECV_FAILED",
                    "network sendrecv failed",
                    false, Side.PLATFORM);

    /** -14: invalid endpoint. */
    public static final Status INVALID_ENDPOINT =
            new Status(
                    -14, "INVALID_ENDPOINT",
                    "invalid endpoint",
                    false, Side.CALLER);

    /** -15: get route failed. */
    public static final Status NO_ROUTE =
            new Status(
                    -15, "NO_ROUTE",
                    "get route failed",
                    true, Side.PLATFORM);

    /** -16: invalid sequence. */
    public static final Status INVALID_SEQUENCE =
            new Status(
                    -16, "INVALID_SEQUENCE",
                    "invalid sequence",
                    false, Side.CALLER);

    /** -17: no package body. */
    public static final Status NO_BODY =
            new Status(
                    -17, "NO_BODY",
                    "no package body",
                    false, Side.CALLER);

    /** -18: service implement failed. */
    public static final Status SERVICE_FAILED =
            new Status(
                    -18, "SERVICE_FAILED",
                    "service implement failed",
                    false, Side.PEER);

    /** -19: backend process failed, use GetErrText get more information. */
    public static final Status BACKEND_FAILED =
            new Status(
                    -19, "BACKEND_FAILED",
                    "backend process failed, use GetErrText get more information",
                    false, Side.PEER);

    /** -20: php error. */
    public static final Status PHP_FAILED =
            new Status(
                    -20, "PHP_FAILED",
                    "php error",
                    false, Side.PEER);

    /** -21: python error. */
    public static final Status PYTHON_FAILED =
            new Status(
                    -21, "PYTHON_FAILED",
                    "python error",
                    false, Side.PEER);

    /** -101: overloaded. */
    public static final Status OVERLOADED =
            new Status(
                    -101, "OVERLOADED",
                    "overloaded",
                    true, Side.PEER);

    /** -102: deadline exceeded before start. */
    public static final Status DEADLINE_EXCEEDED =
            new Status(
                    -102, "DEADLINE_EXCEEDED",
                    "deadline exceeded before start",
                    false, Side.PEER);

    /** -103: cancelled. */
    public static final Status CANCELLED =
            new Status(
                    -103, "CANCELLED",
                    "cancelled",
                    false, Side.CALLER);

    /** -104: draining. */
    public static final Status DRAINING =
            new Status(
                    -104, "DRAINING",
                    "draining",
                    true, Side.PEER);

    /** -105: message too large. */
    public static final Status TOO_LARGE =
            new Status(
                    -105, "TOO_LARGE",
                    "message too large",
                    false, Side.CALLER);

    /** -106: unauthenticated. */
    public static final Status UNAUTHENTICATED =
            new Status(
                    -106, "UNAUTHENTICATED",
                    "unauthenticated",
                    false, Side.CALLER);

    /** -107: forbidden. */
    public static final Status FORBIDDEN =
            new Status(
                    -107, "FORBIDDEN",
                    "forbidden",
                    false, Side.CALLER);

    /** -108: rate limited. */
    public static final Status RATE_LIMITED =
            new Status(
                    -108, "RATE_LIMITED",
                    "rate limited",
                    false, Side.CALLER);

    /** -109: no healthy instance. */
    public static final Status NO_HEALTHY_INSTANCE =
            new Status(
                    -109, "NO_HEALTHY_INSTANCE",
                    "no healthy instance",
                    true, Side.PLATFORM);

    /** -1000: java service exception. */
    public static final Status JAVA_FAILED =
            new Status(
                    -1000, "JAVA_FAILED",
                    "java service exception",
                    false, Side.PEER);

    private static final List<Status> ALL = List.of(
            OK,
            INVALID_PARAMETER,
            SYSTEM_ERROR,
            INVALID_PACKAGE,
            INVALID_HEAD,
            INVALID_BODY,
            INVALID_METHOD,
            HEAD_UNSET,
            BODY_UNSET,
            NO_MEMORY,
            TIMEOUT,
            NETWORK,
            RECV_TIMEOUT,
            SEND_RECV_FAILED,
            INVALID_ENDPOINT,
            NO_ROUTE,
            INVALID_SEQUENCE,
            NO_BODY,
            SERVICE_FAILED,
            BACKEND_FAILED,
            PHP_FAILED,
            PYTHON_FAILED,
            OVERLOADED,
            DEADLINE_EXCEEDED,
            CANCELLED,
            DRAINING,
            TOO_LARGE,
            UNAUTHENTICATED,
            FORBIDDEN,
            RATE_LIMITED,
            NO_HEALTHY_INSTANCE,
            JAVA_FAILED);

    private static final Map<Integer, Status> BY_CODE = new HashMap<>();

    static {
        ALL.forEach(status -> BY_CODE.put(status.code, status));
    }

    private final int code;
    private final String name;
    private final String text;
    private final boolean retryable;
    private final Side side;

    private Status(int code, String name, String text, boolean retryable, Side side) {
        this.code = code;
        this.name = name;
        this.text = text;
        this.retryable = retryable;
        this.side = side;
    }

    /**
     * The status with that code.
     *
     * @param code any number: a peer may send one that this version does not know
     * @return one that has this code
     */
    public static Status of(int code) {
        Status known = BY_CODE.get(code);
        if (known != null) {
            return known;
        }
        return new Status(code, "UNKNOWN", "unkown error", false, Side.PEER);
    }

    /**
     * Every status that this version knows, from 0 downwards.
     *
     * @return all of them
     */
    public static List<Status> all() {
        return ALL;
    }

    /**
     * The number on the wire.
     *
     * @return 0 for success, else most often less
     */
    public int code() {
        return code;
    }

    /**
     * The name in source code.
     *
     * @return {@code UNKNOWN} for a code that this version does not know
     */
    public String name() {
        return name;
    }

    /**
     * The text for people.
     *
     * @return a few words
     */
    public String text() {
        return text;
    }

    /**
     * Whether the method surely did not run, and another attempt, elsewhere or a little later, may
     * do better. False also where it is unknown whether the method ran.
     *
     * @return whether another attempt is safe and may help
     */
    public boolean isRetryable() {
        return retryable;
    }

    /**
     * Who has to act.
     *
     * @return whose doing it is
     */
    public Side side() {
        return side;
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof Status status && status.code == code;
    }

    @Override
    public int hashCode() {
        return code;
    }

    @Override
    public String toString() {
        return code + " " + text;
    }
}
