package org.msec.examples;

import org.msec.Context;
import org.msec.Engine;
import org.msec.NonBlocking;
import org.msec.Server;
import org.msec.examples.echo.EchoRequest;
import org.msec.examples.echo.EchoResponse;
import org.msec.examples.echo.EchoService;

/** Sends back what it is sent: {@code EchoServer [ADDRESS]}. */
public final class EchoServer implements EchoService {
    @Override
    @NonBlocking
    public EchoResponse echo(Context context, EchoRequest request) {
        return EchoResponse.newBuilder().setMessage(request.getMessage()).build();
    }

    /** Runs until it is killed. */
    public static void main(String[] arguments) throws Exception {
        String address = arguments.length > 0 ? arguments[0] : "127.0.0.1:7963";
        try (Engine engine = Engine.start();
                Server server =
                        Server.builder().service(new EchoServer()).listen(address).start(engine)) {
            System.out.println("listening at " + server.addresses().get(0));
            server.awaitStop();
        }
    }
}
