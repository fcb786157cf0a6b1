package org.msec.examples;

import org.msec.CallOptions;
import org.msec.Context;
import org.msec.Engine;
import org.msec.Host;
import org.msec.Server;
import org.msec.examples.echo.EchoRequest;
import org.msec.examples.echo.EchoResponse;
import org.msec.examples.echo.EchoService;
import org.msec.examples.echo.EchoServiceClient;

/**
 * An echo service that asks another one for the echo, as a program that {@code msec host} runs:
 * {@code [ECHO] next} of config.ini says whom. By itself: {@code java -jar msec.jar ADDRESS NEXT}.
 */
public final class Relay implements EchoService {
    private final EchoServiceClient next;

    Relay(EchoServiceClient next) {
        this.next = next;
    }

    /** Blocks this request alone. It passes on the deadline, the flow id and the dye. */
    @Override
    public EchoResponse echo(Context context, EchoRequest request) {
        // To echo twice does no harm: a call that one instance did not answer may go to another.
        return next.echo(request, new CallOptions().idempotent());
    }

    /** Serves until it is told to end. */
    public static void main(String[] arguments) throws Exception {
        String address = arguments.length > 0 ? arguments[0] : "127.0.0.1:7964";
        String asked = arguments.length > 1 ? arguments[1] : "127.0.0.1:7963";
        try (Engine engine = Engine.start();
                EchoServiceClient next =
                        new EchoServiceClient(engine, Host.config("ECHO", "next", asked));
                Server server =
                        Server.builder().service(new Relay(next)).listen(address).start(engine)) {
            server.awaitStop();
        }
    }
}
