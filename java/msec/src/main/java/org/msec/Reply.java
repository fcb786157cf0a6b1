package org.msec;

/** A successful answer. */
public final class Reply {
    private final byte[] body;
    private final int result;

    Reply(byte[] body, int result) {
        this.body = body;
        this.result = result;
    }

    /**
     * The body as it came; not copied.
     *
     * @return a serialized message, or whatever the callee sent
     */
    public byte[] body() {
        return body;
    }

    /**
     * The business return value that the handler set.
     *
     * @return 0 unless it did
     */
    public int result() {
        return result;
    }
}
