package org.msec;

import com.google.protobuf.ByteString;
import java.time.Duration;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;
import java.util.function.BooleanSupplier;
import org.msec.trial.Trial;
import org.msec.trial.TrialClient;
import org.msec.trial.Word;

/** An engine with a server of {@link Trial} and a client of it. */
final class Stage implements AutoCloseable {
    static final Duration PATIENCE = Duration.ofSeconds(20);

    final Engine engine;
    final TrialService service = new TrialService();
    final Server server;
    final TrialClient client;

    Stage() {
        this(new Config());
    }

    Stage(Config config) {
        engine = Engine.start(config.cores(1));
        server = Server.builder().service(service).listen("127.0.0.1:0").start(engine);
        client = new TrialClient(engine, address());
    }

    String address() {
        return server.addresses().get(0);
    }

    static Word word(String text) {
        return Word.newBuilder().setText(text).build();
    }

    static Word number(long number) {
        return Word.newBuilder().setNumber(number).build();
    }

    static Word bytes(int size) {
        return Word.newBuilder().setBytes(ByteString.copyFrom(new byte[size])).build();
    }

    static CallOptions patient() {
        return new CallOptions().timeout(PATIENCE);
    }

    /** Waits for a state. */
    static void waitUntil(String what, BooleanSupplier state) {
        long end = System.nanoTime() + PATIENCE.toNanos();
        while (!state.getAsBoolean()) {
            if (System.nanoTime() > end) {
                throw new AssertionError("never " + what);
            }
            // Others need the processor to get there.
            LockSupport.parkNanos(200_000);
        }
    }

    @Override
    public void close() {
        service.release.countDown();
        client.close();
        server.stop(Duration.ZERO);
        engine.close();
    }

    /** It does not say what it is. */
    static final class Mute extends RuntimeException {
        private static final long serialVersionUID = 1L;

        @Override
        public String toString() {
            throw new UnsupportedOperationException("on purpose");
        }

        @Override
        public synchronized Throwable getCause() {
            throw new UnsupportedOperationException("on purpose");
        }
    }

    /** The service; what it saw last is there for the tests. */
    final class TrialService implements Trial {
        volatile Context seen;
        volatile Thread thread;
        volatile String facts;
        final CountDownLatch release = new CountDownLatch(1);

        @Override
        public Word echo(Context context, Word request) {
            thread = Thread.currentThread();
            facts = context.peer() + " " + context.caller() + " " + context.method();
            seen = context;
            context.setResult((int) request.getNumber());
            return request;
        }

        @Override
        @NonBlocking
        public Word quick(Context context, Word request) {
            return echo(context, request);
        }

        @Override
        public Word rest(Context context, Word request) throws Exception {
            thread = Thread.currentThread();
            seen = context;
            release.await(request.getNumber(), TimeUnit.MILLISECONDS);
            return request;
        }

        @Override
        public Word relay(Context context, Word request) {
            try (TrialClient next = new TrialClient(engine, request.getText())) {
                return next.rest(number(request.getNumber()), patient());
            }
        }

        @Override
        public Word fail(Context context, Word request) {
            switch (request.getText()) {
                case "null":
                    return null;
                case "status":
                    throw new MsecException(Status.of(-77), "wie gewünscht");
                case "heap":
                    return number(new byte[Integer.MAX_VALUE - 8].length);
                case "mute":
                    throw new Mute();
                case "option":
                    Log.option("tenant", null);
                    Log.option(null, "tenant");
                    throw new IllegalStateException("with an option");
                case "stack":
                    return fail(context, request);
                default:
                    throw new IllegalStateException(request.getText());
            }
        }
    }
}
