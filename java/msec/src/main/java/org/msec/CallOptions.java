package org.msec;

import java.nio.charset.StandardCharsets;
import java.time.Duration;

/**
 * What a call may say beyond its method and message. One that is set up once may be used for any
 * number of calls, from every thread, as long as nobody changes it.
 *
 * <pre>{@code
 * CallOptions options = new CallOptions().timeout(Duration.ofMillis(50)).header("tenant", "blue");
 * }</pre>
 */
public final class CallOptions {
    /** A second, and nothing else. */
    static final CallOptions NONE = new CallOptions();

    private int flags;
    private long timeoutMs;
    private long hedgeAfterMs;
    private int priority;
    private int lane;
    private int retries = -1;
    private byte[] key = {};
    private String caller = "";
    private final Fields headers = new Fields();

    /** A second, and nothing else. */
    public CallOptions() {}

    /**
     * How long to wait: connecting, sending and waiting together. A nested call waits no longer
     * than its request's caller does.
     *
     * @param timeout at least a millisecond; default a second
     * @return this
     */
    public CallOptions timeout(Duration timeout) {
        if (timeout.toMillis() < 1) {
            throw new IllegalArgumentException("a timeout of less than a millisecond: " + timeout);
        }
        timeoutMs = Math.min(timeout.toMillis(), 0xffff_ffffL);
        return this;
    }

    /**
     * Adds a user header: up to 64, of 8 KiB together. One that does not fit fails the call, -1.
     *
     * @param key its key
     * @param value its value
     * @return this
     */
    public CallOptions header(String key, String value) {
        return header(key, value.getBytes(StandardCharsets.UTF_8));
    }

    /**
     * Adds a user header of bytes.
     *
     * @param key its key
     * @param value its value
     * @return this
     */
    public CallOptions header(String key, byte[] value) {
        headers.text(key).bytes(value);
        return this;
    }

    /**
     * Dyes the request: every service on its way keeps all its log lines and spans.
     *
     * @return this
     */
    public CallOptions dyed() {
        return flag(Layout.CALL_DYED);
    }

    /**
     * Wants no answer: the call ends when the request is written, with an empty answer.
     *
     * @return this
     */
    public CallOptions oneWay() {
        return flag(Layout.CALL_ONE_WAY);
    }

    /**
     * Says that the method may run twice: a call whose connection dies is then sent again, to
     * another instance.
     *
     * @return this
     */
    public CallOptions idempotent() {
        return flag(Layout.CALL_IDEMPOTENT);
    }

    /**
     * Sends the call a second time, to another instance, if there is no answer after so long; the
     * first answer counts. Implies {@link #idempotent()}.
     *
     * @param delay at least a millisecond
     * @return this
     */
    public CallOptions hedgeAfter(Duration delay) {
        hedgeAfterMs = Math.min(Math.max(1, delay.toMillis()), 0xffff_ffffL);
        return this;
    }

    /**
     * As {@link #hedgeAfter}, when the answer is later than 95 of 100 calls of the method have
     * been.
     *
     * @return this
     */
    public CallOptions hedgeAtP95() {
        return flag(Layout.CALL_HEDGE_AT_P95);
    }

    /**
     * How often the call may be sent again.
     *
     * @param count 0 to 2; default 2
     * @return this
     */
    public CallOptions retries(int count) {
        retries = count;
        return this;
    }

    /**
     * Which request goes first when the callee cannot serve all; without it, that of the request
     * that this call is made for.
     *
     * @param priority the priority
     * @return this
     */
    public CallOptions priority(Priority priority) {
        this.priority = priority.number();
        return this;
    }

    /**
     * Sends the call on the connection of a lane: calls on a lane leave in the order in which they
     * were made.
     *
     * @param index 1 to 65535
     * @return this
     */
    public CallOptions lane(int index) {
        lane = index;
        return this;
    }

    /**
     * What the call is about, such as a user: calls with one key go to one instance if the
     * service's policy is {@code hash}.
     *
     * @param key the key
     * @return this
     */
    public CallOptions key(String key) {
        this.key = key.getBytes(StandardCharsets.UTF_8);
        return this;
    }

    /**
     * The name that the callee sees as caller.
     *
     * @param service without it, that of the engine
     * @return this
     */
    public CallOptions caller(String service) {
        caller = service;
        return this;
    }

    /**
     * Compresses the body by LZ4, and lets the answer be compressed, once the peer has told that it
     * understands that.
     *
     * @return this
     */
    public CallOptions lz4() {
        return flag(Layout.CALL_LZ4);
    }

    /**
     * As {@link #lz4()}, by Zstandard, which is shorter and slower.
     *
     * @return this
     */
    public CallOptions zstd() {
        return flag(Layout.CALL_ZSTD);
    }

    private CallOptions flag(int flag) {
        flags |= flag;
        return this;
    }

    /** As ffi-java/src/options.rs reads it, after the method. */
    byte[] of(String method) {
        Fields fields = new Fields().text(method).number(flags).number(timeoutMs);
        fields.number(hedgeAfterMs).number(priority).number(lane).number(retries);
        return fields.bytes(key).text(caller).append(headers).array();
    }
}
