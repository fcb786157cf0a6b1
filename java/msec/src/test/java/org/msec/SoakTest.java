package org.msec;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.lang.management.BufferPoolMXBean;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/**
 * Callers and a service in Java under random cancels, interrupts, deadlines and resets.
 *
 * <pre>
 *   threads, futures ─► engine of callers ─┬─► proxy that resets ─► service ─┐
 *                                          └─────────── directly ─► service ─┴─► its own Echo
 * </pre>
 *
 * Every call ends, once, with a code that fits; afterwards nothing is left of any of them: no place
 * of a request, call or body, no connection, no client, no memory on the heap or beside it.
 *
 * <p>{@code -Dmsec.soak.seconds} says how long.
 */
@Timeout(7200)
class SoakTest {
    private static final int CALLERS = 6;
    private static final int TIMEOUT_MS_MAX = 300;
    /** How much later than its deadline a call may end on a machine that is busy. */
    private static final long LATE_MS_MAX = 30_000;

    private static final String ECHO = "soak.Java.Echo";
    private static final String QUICK = "soak.Java.Quick";
    private static final String SLOW = "soak.Java.Slow";
    private static final String RELAY = "soak.Java.Relay";
    private static final String FAIL = "soak.Java.Fail";
    private static final String[] METHODS = {ECHO, QUICK, SLOW, RELAY, FAIL, ECHO, QUICK};

    /** What may happen to any call here. */
    private static final Set<Status> TROUBLE =
            Set.of(
                    Status.TIMEOUT,
                    Status.NETWORK,
                    Status.DEADLINE_EXCEEDED,
                    Status.OVERLOADED,
                    Status.CANCELLED);

    private final AtomicLong begun = new AtomicLong();
    private final AtomicLong ended = new AtomicLong();
    private final AtomicLong served = new AtomicLong();
    private final ConcurrentLinkedQueue<String> mistakes = new ConcurrentLinkedQueue<>();
    private volatile boolean stopped;

    private static byte[] body(Random random, int lengthMax) {
        byte[] body = new byte[1 + random.nextInt(lengthMax)];
        random.nextBytes(body);
        return body;
    }

    /** Mostly short ones; now and then what no buffer has room for. */
    private static byte[] body(Random random) {
        int kind = random.nextInt(40);
        return body(random, kind == 0 ? 1 << 20 : kind < 5 ? 40_000 : 500);
    }

    /** One call: that it ends once, in time, and rightly. */
    private final class Watched {
        private final String method;
        private final byte[] body;
        private final long began = System.nanoTime();
        private final AtomicInteger ends = new AtomicInteger();

        Watched(String method, byte[] body) {
            this.method = method;
            this.body = body;
            begun.incrementAndGet();
        }

        void end(Reply reply, Throwable error) {
            if (ends.incrementAndGet() != 1) {
                mistakes.add(method + " has ended twice");
            }
            long took = (System.nanoTime() - began) / 1_000_000;
            if (took > TIMEOUT_MS_MAX + LATE_MS_MAX) {
                mistakes.add(method + " took " + took + " ms");
            }
            Throwable cause =
                    error instanceof java.util.concurrent.CompletionException wrapped
                            ? wrapped.getCause()
                            : error;
            if (cause instanceof MsecException failure) {
                boolean own = method == FAIL && failure.status().code() == -77;
                if (!own && !TROUBLE.contains(failure.status())) {
                    mistakes.add(method + ": " + failure);
                }
            } else if (cause instanceof java.util.concurrent.CancellationException) {
                // As it was told to.
            } else if (cause != null) {
                mistakes.add(method + ": " + cause);
            } else {
                served.incrementAndGet();
                if (!Arrays.equals(body, reply.body())) {
                    mistakes.add(method + " was answered with another body");
                }
            }
            ended.incrementAndGet();
        }
    }

    private Server service(Engine engine, Client[] self) {
        Handler<byte[], byte[]> relay =
                (context, body) -> self[0].callRaw(ECHO, body, new CallOptions()).body();
        Handler<byte[], byte[]> slow =
                (context, body) -> {
                    Thread.sleep((body[0] & 31) * 4L);
                    return body;
                };
        Handler<byte[], byte[]> fail =
                (context, body) -> {
                    throw new MsecException(Status.of(-77), "so soll es sein");
                };
        return Server.builder()
                .raw(ECHO, (context, body) -> body)
                .raw(SLOW, slow)
                .raw(RELAY, relay)
                .raw(FAIL, fail)
                .methods(methods -> methods.addRaw(QUICK, (c, body) -> body).nonBlocking())
                .listen("127.0.0.1:0")
                .start(engine);
    }

    /** A caller's thread; it is interrupted by others, and calls on. */
    private void call(Engine engine, String[] addresses, Random random) {
        Client[] clients = {new Client(engine, addresses[0]), new Client(engine, addresses[1])};
        List<CompletableFuture<Reply>> futures = new ArrayList<>();
        while (!stopped) {
            if (random.nextInt(500) == 0) {
                int which = random.nextInt(2);
                clients[which].close();
                clients[which] = new Client(engine, addresses[which]);
            }
            String method = METHODS[random.nextInt(METHODS.length)];
            CallOptions options = new CallOptions();
            options.timeout(Duration.ofMillis(1 + random.nextInt(TIMEOUT_MS_MAX)));
            Client client = clients[random.nextInt(2)];
            Watched watched = new Watched(method, body(random));
            if (random.nextInt(3) == 0) {
                waits(client, watched, options);
                continue;
            }
            CompletableFuture<Reply> call = client.callRawAsync(method, watched.body, options);
            call.whenComplete(watched::end);
            futures.add(call);
            if (futures.size() >= 20) {
                for (CompletableFuture<Reply> future : futures) {
                    finish(future, random.nextInt(4) == 0);
                }
                futures.clear();
            }
        }
        futures.forEach(future -> finish(future, false));
        for (Client client : clients) {
            client.close();
        }
    }

    private static void waits(Client client, Watched watched, CallOptions options) {
        Reply reply = null;
        MsecException failure = null;
        try {
            reply = client.callRaw(watched.method, watched.body, options);
        } catch (MsecException error) {
            failure = error;
        }
        Thread.interrupted();
        watched.end(reply, failure);
    }

    private static void finish(CompletableFuture<Reply> future, boolean cancel) {
        if (cancel) {
            future.cancel(true);
            return;
        }
        try {
            future.join();
        } catch (java.util.concurrent.CompletionException error) {
            // It is in the book.
        }
    }

    /** What is there on the heap once the garbage is gone, and beside it. */
    private record Memory(long heap, long direct, long residentKib) {
        /**
         * Compilers, stacks of threads and holes of the allocators take 150 MiB in the first
         * quarter of a minute, and then no more; what leaks does not stop, as ten minutes show.
         */
        private static final long RESIDENT_KIB_MAX = 224 << 10;

        /** How much more may be there than once before. */
        boolean isLike(Memory before) {
            return direct <= before.direct
                    && heap < before.heap + (8 << 20)
                    && residentKib < before.residentKib + RESIDENT_KIB_MAX;
        }

        static Memory now() throws IOException {
            for (int round = 0; round < 3; round++) {
                System.gc();
            }
            long heap = Runtime.getRuntime().totalMemory() - Runtime.getRuntime().freeMemory();
            long direct =
                    ManagementFactory.getPlatformMXBeans(BufferPoolMXBean.class).stream()
                            .mapToLong(BufferPoolMXBean::getMemoryUsed)
                            .sum();
            long resident =
                    Files.readAllLines(Path.of("/proc/self/status")).stream()
                            .filter(line -> line.startsWith("VmRSS:"))
                            .mapToLong(line -> Long.parseLong(line.replaceAll("\\D", "")))
                            .sum();
            return new Memory(heap, direct, resident);
        }
    }

    private void pass(List<Thread> callers, Proxy proxy, long milliseconds) throws Exception {
        Random random = new Random(7);
        long end = System.nanoTime() + milliseconds * 1_000_000;
        while (System.nanoTime() < end) {
            Thread.sleep(20);
            callers.get(random.nextInt(CALLERS)).interrupt();
            if (random.nextInt(3) == 0) {
                proxy.harm(random);
            }
        }
    }

    @Test
    void everyCallEndsOnceAndNothingIsLeftOfIt() throws Exception {
        long milliseconds = 1000 * Long.getLong("msec.soak.seconds", 8);
        try (Engine serving = Engine.start(new Config().cores(1));
                Engine calling = Engine.start(new Config().cores(1))) {
            Client[] self = new Client[1];
            Server server = service(serving, self);
            self[0] = new Client(serving, server.addresses().get(0));
            Memory middle;
            try (Proxy proxy = new Proxy(server.addresses().get(0))) {
                String[] addresses = {proxy.address(), server.addresses().get(0)};
                List<Thread> callers = new ArrayList<>();
                for (int caller = 0; caller < CALLERS; caller++) {
                    Random random = new Random(caller);
                    callers.add(new Thread(() -> call(calling, addresses, random)));
                }
                callers.forEach(Thread::start);
                pass(callers, proxy, milliseconds / 2);
                middle = Memory.now();
                pass(callers, proxy, milliseconds / 2);
                stopped = true;
                for (Thread caller : callers) {
                    caller.join();
                }
            }
            Stage.waitUntil("ended", () -> begun.get() == ended.get());
            assertTrue(mistakes.isEmpty(), "" + mistakes.stream().limit(20).toList());
            // Deadlines are short: on a busy machine most of them pass.
            assertTrue(served.get() > begun.get() / 100, served + " of " + begun);
            isEmpty(serving, server);
            isEmpty(calling, null);
            assertEquals(0, calling.core().clients());
            Memory end = Memory.now();
            String both = middle + ", then " + end + " after " + begun + " calls";
            assertTrue(end.isLike(middle), both);
            System.out.println("soak: " + served + " of " + begun + " calls served, " + both);
        }
    }

    private static void isEmpty(Engine engine, Server server) {
        assertTrue(engine.core().calls.isEmpty());
        if (server != null) {
            Stage.waitUntil("answered", () -> server.requestsInFlight() == 0);
        }
        Stage.waitUntil("let go of", () -> Native.held(engine.core().handle) == 0);
    }
}
