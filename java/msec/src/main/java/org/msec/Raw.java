package org.msec;

import java.time.Duration;
import java.util.concurrent.CompletableFuture;

/**
 * Protocols of third parties: bytes are sent, and an answer is waited for, whose end is told by its
 * form. One request at a time a connection, which is kept for the next one. How calls end feeds the
 * routes.
 *
 * <pre>{@code
 * byte[] pong = Raw.call(engine, "127.0.0.1:6379", "PING\r\n".getBytes(), Raw.until("\r\n"),
 *         Duration.ofMillis(100));
 * }</pre>
 */
public final class Raw {
    private Raw() {}

    /** How the end of an answer is found. */
    public static final class End {
        private final Fields fields;

        private End(Fields fields) {
            this.fields = fields;
        }
    }

    /**
     * An answer ends with a mark.
     *
     * @param mark as {@code "\r\n"}; in UTF-8
     * @return the end
     */
    public static End until(String mark) {
        return new End(new Fields().number(Layout.RAW_UNTIL).text(mark));
    }

    /**
     * An answer has a fixed length.
     *
     * @param bytes the length
     * @return the end
     */
    public static End fixed(int bytes) {
        return new End(new Fields().number(Layout.RAW_FIXED).number(bytes));
    }

    /**
     * An answer has its length in it, the greatest byte first.
     *
     * @param at where that number begins
     * @param bytes how long the number is, 1 to 8
     * @param added what makes the length of the whole answer out of it
     * @return the end
     */
    public static End length(int at, int bytes, long added) {
        Fields fields = new Fields().number(Layout.RAW_LENGTH).number(at).number(bytes);
        return new End(fields.number(added));
    }

    /**
     * Sends bytes and waits for an answer.
     *
     * @param engine the engine that calls
     * @param target a service of the routes, or an address
     * @param request the bytes
     * @param end how the end of an answer is found
     * @param timeout connecting, sending and waiting together
     * @return the answer, without what came after its end
     * @throws MsecException -10 no whole answer in time; -11 the connection failed or died; -3 that
     *     is no answer; -105 longer than a body may be; -103 interrupted; -14 no target; -15 no
     *     instance of the service is known
     */
    public static byte[] call(
            Engine engine, String target, byte[] request, End end, Duration timeout) {
        return start(engine, target, request, end, timeout).await("a raw call to " + target);
    }

    /**
     * As {@link #call}, whose answer is waited for later. See {@link Client#callAsync} for where it
     * is completed.
     *
     * @param engine the engine that calls
     * @param target a service of the routes, or an address
     * @param request the bytes
     * @param end how the end of an answer is found
     * @param timeout connecting, sending and waiting together
     * @return the answer to come
     */
    public static CompletableFuture<byte[]> callAsync(
            Engine engine, String target, byte[] request, End end, Duration timeout) {
        return start(engine, target, request, end, timeout);
    }

    private static Call<byte[]> start(
            Engine engine, String target, byte[] request, End end, Duration timeout) {
        Core core = engine.core();
        Fields fields = new Fields().text(target).number(Math.max(1, timeout.toMillis()));
        byte[] options = fields.append(end.fields).array();
        Call<byte[]> call = new Call<>(engine, Reply::body);
        return call.start(
                (number, context) ->
                        Native.rawCall(core.handle, number, context, options, request));
    }
}
