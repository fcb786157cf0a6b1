package org.msec;

import com.google.protobuf.InvalidProtocolBufferException;
import com.google.protobuf.MessageLite;
import com.google.protobuf.Parser;
import java.lang.ref.Cleaner;
import java.lang.ref.Reference;
import java.util.concurrent.CompletableFuture;
import java.util.function.Function;

/**
 * Calls one service. Usable from every thread, and cheap: connections are the engine's.
 *
 * <p>A call made in a handler inherits the request's deadline, less the time spent, its flow id and
 * its dye. A call made elsewhere begins a flow of its own. How calls end feeds the routes.
 */
public final class Client implements AutoCloseable {
    /** Kept, so that it is not closed while this is there. */
    private final Engine engine;
    private final long handle;
    private final String target;
    private final Cleaner.Cleanable cleanable;
    private volatile boolean closed;

    /**
     * A client of a service or an address. Connects when it is first used.
     *
     * @param engine the engine that calls
     * @param target a service, {@code First.second}, found in the engine's routes; or an address:
     *     {@code ip:port}, {@code ip:port@udp}, {@code ip:port@tls}, {@code unix:/path}
     * @throws MsecException -14 the target is neither; -2 the engine is closed
     */
    public Client(Engine engine, String target) {
        this.engine = engine;
        this.target = target;
        Core core = engine.core();
        core.requireOpen();
        long opened = Native.clientOpen(core.handle, Fields.of(target));
        this.handle = opened;
        core.addClient(opened);
        this.cleanable = Engine.CLEANER.register(this, () -> core.closeClient(opened));
    }

    /**
     * Calls a method and waits for its answer. The thread parks; a virtual one lets its carrier go.
     * An interrupt ends the call: the callee is told, and this throws -103.
     *
     * @param method {@code package.Service.Method}
     * @param request the request
     * @param parser of the answer: {@code EchoResponse.parser()}
     * @param <R> the answer
     * @return the answer
     * @throws MsecException -10 no answer in time; -11 the connection failed or died; -15 no
     *     instance of the service is known; -101 the peer does not take what is sent to it; -103
     *     interrupted, or the request that this is for was cancelled; -105 too large; -5 the answer
     *     is no such message; -2 closed; and whatever the callee answered with
     */
    public <R extends MessageLite> R call(String method, MessageLite request, Parser<R> parser) {
        return call(method, request, parser, CallOptions.NONE);
    }

    /**
     * As {@link #call(String, MessageLite, Parser)}, with options.
     *
     * @param method {@code package.Service.Method}
     * @param request the request
     * @param parser of the answer
     * @param options what else there is to say
     * @param <R> the answer
     * @return the answer
     */
    public <R extends MessageLite> R call(
            String method, MessageLite request, Parser<R> parser, CallOptions options) {
        Reply reply = start(method, request.toByteArray(), options, whole -> whole).await(method);
        return parse(method, parser, reply);
    }

    /**
     * Starts a call; several run at a time. The future is completed on the poller: what depends on
     * it and may block belongs into one of its {@code …Async} methods. Cancelled, the call is given
     * up. It fails with a {@link MsecException}, which also tells what is wrong with the call.
     *
     * @param method {@code package.Service.Method}
     * @param request the request
     * @param parser of the answer
     * @param options what else there is to say
     * @param <R> the answer
     * @return the answer to come
     * @throws MsecException -2 the client or its engine is closed
     */
    public <R extends MessageLite> CompletableFuture<R> callAsync(
            String method, MessageLite request, Parser<R> parser, CallOptions options) {
        return start(
                method, request.toByteArray(), options, reply -> parse(method, parser, reply));
    }

    /**
     * As {@link #callAsync(String, MessageLite, Parser, CallOptions)}, without options.
     *
     * @param method {@code package.Service.Method}
     * @param request the request
     * @param parser of the answer
     * @param <R> the answer
     * @return the answer to come
     */
    public <R extends MessageLite> CompletableFuture<R> callAsync(
            String method, MessageLite request, Parser<R> parser) {
        return callAsync(method, request, parser, CallOptions.NONE);
    }

    /**
     * Calls with a body of bytes and waits.
     *
     * @param method {@code package.Service.Method}
     * @param body the body
     * @param options what else there is to say
     * @return the answer, with its business value
     * @throws MsecException as {@link #call(String, MessageLite, Parser)}
     */
    public Reply callRaw(String method, byte[] body, CallOptions options) {
        return start(method, body, options, reply -> reply).await(method);
    }

    /**
     * Starts a call with a body of bytes; see {@link #callAsync}.
     *
     * @param method {@code package.Service.Method}
     * @param body the body
     * @param options what else there is to say
     * @return the answer to come
     */
    public CompletableFuture<Reply> callRawAsync(String method, byte[] body, CallOptions options) {
        return start(method, body, options, reply -> reply);
    }

    private <R> Call<R> start(
            String method, byte[] body, CallOptions options, Function<Reply, R> parse) {
        if (closed) {
            throw new MsecException(Status.SYSTEM_ERROR, "the client of " + target + " is closed");
        }
        byte[] said = options.of(method);
        Call<R> call = new Call<>(engine, parse);
        call.start((number, request) -> Native.call(handle, number, request, said, body));
        // Collected between the two, the client would be closed.
        Reference.reachabilityFence(this);
        return call;
    }

    private static <R> R parse(String method, Parser<R> parser, Reply reply) {
        try {
            return parser.parseFrom(reply.body());
        } catch (InvalidProtocolBufferException error) {
            throw new MsecException(
                    Status.INVALID_BODY,
                    "the answer of " + method + " is not the message: " + error.getMessage(),
                    error);
        }
    }

    /**
     * The engine that calls.
     *
     * @return the engine
     */
    public Engine engine() {
        return engine;
    }

    /** Closes the client; calls that are under way go on. Again has no effect. */
    @Override
    public void close() {
        closed = true;
        cleanable.clean();
    }

    @Override
    public String toString() {
        return "Client(" + target + ")";
    }
}
