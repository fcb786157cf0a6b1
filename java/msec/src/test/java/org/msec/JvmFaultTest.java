package org.msec;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.lang.management.GarbageCollectorMXBean;
import java.lang.management.ManagementFactory;
import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** What befalls a whole JVM: what its callers are told, and that none of their calls is lost. */
@Timeout(120)
class JvmFaultTest {
    private static final String ECHO = "fault.Jvm.Echo";
    private static final String BLOCK = "fault.Jvm.Block";
    private static final String COLLECT = "fault.Jvm.Collect";
    private static final String HOARD = "fault.Jvm.Hoard";

    /** What may become of a call while its callee stands still. */
    private static final Set<Status> MEANWHILE =
            Set.of(Status.OK, Status.OVERLOADED, Status.TIMEOUT, Status.DEADLINE_EXCEEDED);

    /** The server. */
    public static final class Program {
        /** What lives, for collections to look at. */
        private static Object[] living;

        private Program() {}

        /** Runs until it is killed. */
        public static void main(String[] arguments) throws Exception {
            Engine engine = Engine.start(new Config().cores(1));
            Server server =
                    Server.builder()
                            .methods(
                                    methods ->
                                            methods.addRaw(ECHO, (context, body) -> body)
                                                    .nonBlocking())
                            .raw(BLOCK, (context, body) -> block())
                            .raw(COLLECT, (context, body) -> collect(body))
                            .raw(HOARD, (context, body) -> hoard())
                            .listen("127.0.0.1:0")
                            .start(engine);
            System.out.println(server.addresses().get(0));
            server.awaitStop();
        }

        private static byte[] block() throws InterruptedException {
            new CountDownLatch(1).await();
            throw new AssertionError("nobody counts down");
        }

        /** Collects for so many milliseconds, with much that lives; how long it took. */
        private static byte[] collect(byte[] body) {
            long wanted = ByteBuffer.wrap(body).getLong();
            for (int index = 0; index < 4_000_000; index++) {
                living = new Object[] {living, null};
            }
            long before = collectedMs();
            while (collectedMs() - before < wanted) {
                System.gc();
            }
            living = null;
            return ByteBuffer.allocate(8).putLong(collectedMs() - before).array();
        }

        private static long collectedMs() {
            return ManagementFactory.getGarbageCollectorMXBeans().stream()
                    .mapToLong(GarbageCollectorMXBean::getCollectionTime)
                    .sum();
        }

        /** Takes all that there is. */
        private static byte[] hoard() {
            List<byte[]> taken = new ArrayList<>();
            while (true) {
                taken.add(new byte[64 * 1024]);
            }
        }
    }

    private static Jvm jvm(Path folder, String... options) throws Exception {
        return Jvm.start(folder, Program.class, options);
    }

    /** So long that it ends on any machine, and only if somebody ends it. */
    private static CallOptions endless() {
        return new CallOptions().timeout(Duration.ofSeconds(100)).retries(0);
    }

    /** Calls without end, on a thread of its own, until it is told to stop. */
    private static final class Load extends Thread {
        private final Client client;
        private final List<CompletableFuture<Reply>> calls = new ArrayList<>();
        private volatile boolean stopped;

        Load(Client client) {
            this.client = client;
            start();
        }

        @Override
        public void run() {
            byte[] body = {1, 2, 3};
            while (!stopped && calls.size() < 200_000) {
                for (int call = 0; call < 20; call++) {
                    calls.add(client.callRawAsync(ECHO, body, Stage.patient().retries(0)));
                }
                java.util.concurrent.locks.LockSupport.parkNanos(10_000_000);
            }
        }

        /** How each has ended; one that has not is a failure. */
        List<Status> end() throws Exception {
            stopped = true;
            join();
            List<Status> ends = new ArrayList<>();
            for (CompletableFuture<Reply> call : calls) {
                try {
                    assertArrayEquals(new byte[] {1, 2, 3}, call.get(60, TimeUnit.SECONDS).body());
                    ends.add(Status.OK);
                } catch (ExecutionException error) {
                    ends.add(((MsecException) error.getCause()).status());
                }
            }
            return ends;
        }
    }

    private static void isWell(Client client) {
        for (int call = 0; call < 100; call++) {
            assertEquals(1, client.callRaw(ECHO, new byte[1], Stage.patient()).body().length);
        }
    }

    /** How many are served while the callee stands still is the machine's business. */
    private static void allWereAnswered(List<Status> ends) {
        List<Status> others = ends.stream().filter(end -> !MEANWHILE.contains(end)).toList();
        assertTrue(others.isEmpty(), "" + others);
        assertTrue(ends.contains(Status.OK), "none of " + ends.size() + " was served");
    }

    @Test
    void aJvmThatIsStoppedForTwoSecondsLosesNoCall(@TempDir Path folder) throws Exception {
        try (Engine engine = Engine.start(new Config().cores(1));
                Jvm jvm = jvm(folder, "-Xmx128m");
                Client client = new Client(engine, jvm.address)) {
            isWell(client);
            Load load = new Load(client);
            jvm.signal("STOP");
            Thread.sleep(2000);
            jvm.signal("CONT");
            allWereAnswered(load.end());
            isWell(client);
        }
    }

    @Test
    void aCollectionOfTwoSecondsLosesNoCall(@TempDir Path folder) throws Exception {
        // The core goes on reading, and nobody takes what it has read.
        try (Engine engine = Engine.start(new Config().cores(1));
                Jvm jvm = jvm(folder, "-Xmx768m", "-XX:+UseSerialGC");
                Client client = new Client(engine, jvm.address)) {
            isWell(client);
            Load load = new Load(client);
            byte[] wanted = ByteBuffer.allocate(8).putLong(2000).array();
            byte[] took = client.callRaw(COLLECT, wanted, endless()).body();
            assertTrue(ByteBuffer.wrap(took).getLong() >= 2000);
            allWereAnswered(load.end());
            isWell(client);
        }
    }

    @Test
    void callsOnAJvmThatIsKilledFailAtOnce(@TempDir Path folder) throws Exception {
        try (Engine engine = Engine.start(new Config().cores(1));
                Jvm jvm = jvm(folder, "-Xmx128m");
                Jvm other = jvm(folder, "-Xmx128m");
                Client client = new Client(engine, jvm.address);
                Client others = new Client(engine, other.address)) {
            isWell(client);
            List<CompletableFuture<Reply>> blocked = new ArrayList<>();
            for (int call = 0; call < 200; call++) {
                blocked.add(client.callRawAsync(BLOCK, new byte[0], endless()));
            }
            Load load = new Load(others);
            // Behind what is blocked on the same connection.
            isWell(client);
            jvm.signal("KILL");
            long begun = System.nanoTime();
            for (CompletableFuture<Reply> call : blocked) {
                ExecutionException error =
                        assertThrows(
                                ExecutionException.class, () -> call.get(60, TimeUnit.SECONDS));
                MsecException cause = (MsecException) error.getCause();
                assertEquals(Status.NETWORK, cause.status(), cause.getMessage());
            }
            long took = (System.nanoTime() - begun) / 1_000_000;
            assertTrue(took < 50_000, took + " ms, of 100 s that they would have waited");
            allWereAnswered(load.end());
            isWell(others);
        }
    }

    @Test
    void aRequestThatExhaustsTheHeapIsRefusedAndOthersAreServed(@TempDir Path folder)
            throws Exception {
        try (Engine engine = Engine.start(new Config().cores(1));
                Jvm jvm = jvm(folder, "-Xmx64m", "-XX:+UseSerialGC");
                Client client = new Client(engine, jvm.address)) {
            isWell(client);
            for (int round = 0; round < 3; round++) {
                Load load = new Load(client);
                MsecException error =
                        assertThrows(
                                MsecException.class,
                                () -> client.callRaw(HOARD, new byte[0], endless()));
                assertEquals(Status.NO_MEMORY, error.status(), error.getMessage());
                // While there is none, that is what others may be told as well.
                List<Status> ends = load.end();
                ends.removeIf(Status.NO_MEMORY::equals);
                allWereAnswered(ends);
                isWell(client);
            }
            assertTrue(jvm.isAlive());
            String line = "no memory for a handler of " + HOARD;
            Stage.waitUntil("told", () -> jvm.log().contains(line));
        }
    }
}
