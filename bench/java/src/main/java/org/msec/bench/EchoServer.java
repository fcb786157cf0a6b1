package org.msec.bench;

import com.google.protobuf.ByteString;
import echo.Echo.EchoRequest;
import echo.Echo.EchoResponse;
import java.time.Duration;
import java.util.concurrent.CountDownLatch;
import org.msec.CallOptions;
import org.msec.Client;
import org.msec.Config;
import org.msec.Context;
import org.msec.Engine;
import org.msec.Host;
import org.msec.Methods;
import org.msec.Server;

/**
 * The echo service on one core: {@code EchoServer --handlers poller|pool|virtual [--blocked N]
 * [--to ADDRESS:PORT] --listen ADDRESS:PORT}.
 *
 * <p>Handlers run on the poller, on a pool of 64 threads, or on virtual threads. With {@code --to}
 * each asks that service, waits for its answer and sends it back. Before it serves, so many
 * handlers of another method as {@code --blocked} says are called, and never come back. Under
 * {@code msec host} it takes no flags.
 */
public final class EchoServer {
    private static final String ECHO = "echo.EchoService.Echo";
    private static final String BLOCK = "bench.WorkService.Block";

    private EchoServer() {}

    private static EchoResponse echo(Context context, EchoRequest request) {
        return EchoResponse.newBuilder().setMessage(request.getMessage()).build();
    }

    /** Runs until it is killed, or its standard input ends. */
    public static void main(String[] arguments) throws Exception {
        Flags flags = new Flags(arguments);
        Config config = new Config().cores(1).virtualThreads(flags.handlers.equals("virtual"));
        Dialogue dialogue = new Dialogue(flags);
        try (Engine engine = Engine.start(config);
                Client next = flags.to == null ? null : new Client(engine, flags.to)) {
            Server.Builder builder = Server.builder();
            if (flags.listen != null) {
                builder.listen(flags.listen);
            }
            builder.methods(methods -> serve(methods, flags, next));
            if (flags.blocked > 0) {
                // Elsewhere first: who sees that the server accepts sees it blocked.
                blockSome(engine, flags.blocked);
            }
            try (Server server = builder.start(engine)) {
                if (Host.isPresent()) {
                    server.awaitStop();
                } else {
                    dialogue.run();
                    // Nobody asks any more.
                    server.drain();
                }
            }
        }
        // What blocks for ever does so on daemons.
        System.exit(0);
    }

    private static void serve(Methods methods, Flags flags, Client next) {
        Methods.Method echo;
        if (next == null) {
            echo = methods.add(ECHO, EchoRequest.parser(), EchoServer::echo);
        } else {
            CallOptions options = new CallOptions().timeout(Duration.ofSeconds(10));
            echo = methods.add(
                    ECHO,
                    EchoRequest.parser(),
                    (context, request) -> next.call(ECHO, request, EchoResponse.parser(), options));
        }
        if (flags.handlers.equals("poller")) {
            echo.nonBlocking();
        }
    }

    private static byte[] block() throws InterruptedException {
        new CountDownLatch(1).await();
        throw new AssertionError("nobody counts down");
    }

    /** By a server of its own on the same engine, whose handlers share the threads. */
    private static void blockSome(Engine engine, int count) throws InterruptedException {
        CountDownLatch begun = new CountDownLatch(count);
        Server server =
                Server.builder()
                        .raw(
                                BLOCK,
                                (context, body) -> {
                                    begun.countDown();
                                    return block();
                                })
                        .listen("127.0.0.1:0")
                        .start(engine);
        Client own = new Client(engine, server.addresses().get(0));
        for (int index = 0; index < count; index++) {
            own.callRawAsync(BLOCK, new byte[0], new CallOptions().timeout(Duration.ofHours(1)));
        }
        begun.await();
    }

    /** A request as it comes, for what measures the parts. */
    static byte[] request(int payload) {
        ByteString message = ByteString.copyFrom(new byte[payload]);
        return EchoRequest.newBuilder().setMessage(message).build().toByteArray();
    }
}
