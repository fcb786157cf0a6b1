package org.msec;

import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Fork;
import org.openjdk.jmh.annotations.Measurement;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.OperationsPerInvocation;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.TearDown;
import org.openjdk.jmh.annotations.Warmup;

/**
 * A call and its request in one process, over a connection of its own: many at a time, by all the
 * ways that handlers run.
 */
@State(Scope.Benchmark)
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.NANOSECONDS)
@Warmup(iterations = 5, time = 1)
@Measurement(iterations = 5, time = 1)
@Fork(1)
public class CallBench {
    private static final int CALLS = 256;

    private final byte[] body = new byte[64];
    private final CallOptions options = new CallOptions();
    private Engine engine;
    private Server server;
    private Client client;

    /** An engine that calls itself. */
    @Setup
    public void start() {
        engine = Engine.start(new Config().cores(1));
        server =
                Server.builder()
                        .raw("bench.Java.Waits", (context, bytes) -> bytes)
                        .methods(
                                methods ->
                                        methods.addRaw("bench.Java.Quick", (c, bytes) -> bytes)
                                                .nonBlocking())
                        .listen("127.0.0.1:0")
                        .start(engine);
        client = new Client(engine, server.addresses().get(0));
    }

    /** Ends it. */
    @TearDown
    public void stop() {
        engine.close();
    }

    private int all(String method) {
        CompletableFuture<?>[] calls = new CompletableFuture<?>[CALLS];
        for (int call = 0; call < CALLS; call++) {
            calls[call] = client.callRawAsync(method, body, options);
        }
        CompletableFuture.allOf(calls).join();
        return calls.length;
    }

    /** On the poller. */
    @Benchmark
    @OperationsPerInvocation(CALLS)
    public int onThePoller() {
        return all("bench.Java.Quick");
    }

    /** On virtual threads, or on the pool where there are none. */
    @Benchmark
    @OperationsPerInvocation(CALLS)
    public int onThreads() {
        return all("bench.Java.Waits");
    }

    /** One call that is waited for. */
    @Benchmark
    public int oneThatIsWaitedFor() {
        return client.callRaw("bench.Java.Quick", body, options).body().length;
    }
}
