package org.msec.examples;

import com.google.protobuf.ByteString;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import org.msec.CallOptions;
import org.msec.Engine;
import org.msec.MsecException;
import org.msec.examples.echo.EchoRequest;
import org.msec.examples.echo.EchoResponse;
import org.msec.examples.echo.EchoServiceClient;

/** Calls an echo service, one after the other and at a time: {@code EchoClient ADDRESS WORD…}. */
public final class EchoClient {
    private EchoClient() {}

    /** Calls once a word. */
    public static void main(String[] arguments) {
        try (Engine engine = Engine.start();
                EchoServiceClient echo = new EchoServiceClient(engine, arguments[0])) {
            CallOptions options = new CallOptions().timeout(Duration.ofSeconds(5));
            List<CompletableFuture<EchoResponse>> calls = new ArrayList<>();
            for (int index = 1; index < arguments.length; index++) {
                EchoRequest request =
                        EchoRequest.newBuilder()
                                .setMessage(ByteString.copyFromUtf8(arguments[index]))
                                .build();
                // Waits.
                System.out.println(echo.echo(request, options).getMessage().toStringUtf8());
                calls.add(echo.echoAsync(request, options));
            }
            for (CompletableFuture<EchoResponse> call : calls) {
                System.out.println(call.join().getMessage().toStringUtf8());
            }
        } catch (MsecException error) {
            System.err.println(error);
            System.exit(1);
        }
    }
}
