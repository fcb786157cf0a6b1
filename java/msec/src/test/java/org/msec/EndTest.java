package org.msec;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.lang.ref.Reference;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Collections;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.msec.trial.TrialClient;
import org.msec.trial.Word;

/** How servers and engines end, and who waits for it. */
@Timeout(120)
class EndTest {
    /** Threads of this process that are cores of engines. */
    private static Set<Path> cores() {
        try (Stream<Path> tasks = Files.list(Path.of("/proc/self/task"))) {
            return tasks.filter(task -> name(task).startsWith("msec-core"))
                    .collect(Collectors.toSet());
        } catch (IOException error) {
            throw new AssertionError(error);
        }
    }

    private static String name(Path task) {
        try {
            return Files.readString(task.resolve("comm"));
        } catch (IOException ended) {
            return "";
        }
    }

    @Test
    void anEngineThatIsClosedEndsWhatIsOnIt() throws Exception {
        // Engines of other tests may be ending.
        Set<Path> others = cores();
        Stage stage = new Stage();
        stage.client.echo(Stage.word("x"), Stage.patient());
        Set<Path> own = cores();
        own.removeAll(others);
        assertEquals(1, own.size());
        Thread waits =
                new Thread(
                        () -> {
                            try {
                                stage.server.awaitStop();
                            } catch (InterruptedException error) {
                                throw new AssertionError(error);
                            }
                        });
        waits.start();
        stage.engine.close();
        waits.join(Stage.PATIENCE.toMillis());
        assertFalse(waits.isAlive(), "the server is stopped");
        // Though its client was never closed.
        Stage.waitUntil("ended", () -> Collections.disjoint(cores(), own));
        Reference.reachabilityFence(stage);
    }

    @Test
    void whoStopsAServerLaterWaitsForTheFirst() throws Exception {
        // Calls of the engine that is closed end with it, maybe before their answer is read.
        try (Stage stage = new Stage();
                Engine other = Engine.start(new Config().cores(1));
                TrialClient client = new TrialClient(other, stage.address())) {
            CompletableFuture<Word> call =
                    client.restAsync(Stage.number(20_000), Stage.patient());
            Stage.waitUntil("served", () -> stage.service.seen != null);
            Thread first = new Thread(() -> stage.server.stop(Stage.PATIENCE));
            first.start();
            Stage.waitUntil(
                    "begun",
                    () -> {
                        try {
                            return stage.server.connections() < 0;
                        } catch (MsecException stopped) {
                            return true;
                        }
                    });
            Thread second = new Thread(stage.engine::close);
            second.start();
            second.join(300);
            assertTrue(second.isAlive(), "the first one drains");
            stage.service.release.countDown();
            assertEquals(20_000, call.get(20, TimeUnit.SECONDS).getNumber());
            first.join(Stage.PATIENCE.toMillis());
            second.join(Stage.PATIENCE.toMillis());
            assertFalse(first.isAlive() || second.isAlive());
        }
    }

    /** The address of a server that nobody has any more. */
    private static String startedAndForgotten() {
        Engine engine = Engine.start(new Config().cores(1));
        Server.Builder builder = Server.builder().raw("a.B.C", (context, body) -> body);
        return builder.listen("127.0.0.1:0").start(engine).addresses().get(0);
    }

    /** A call of an engine and a client that nobody has any more. */
    private static CompletableFuture<Word> begunAndForgotten(String address) {
        Engine engine = Engine.start(new Config().cores(1));
        return new TrialClient(engine, address).restAsync(Stage.number(20_000), Stage.patient());
    }

    /** Has the collector close what it may. */
    private static void collect() throws InterruptedException {
        for (int round = 0; round < 10; round++) {
            System.gc();
            // The cleaner's thread is another one.
            Thread.sleep(10);
        }
    }

    @Test
    void aServerServesThoughNobodyHasIt() throws Exception {
        String address = startedAndForgotten();
        collect();
        try (Engine engine = Engine.start(new Config().cores(1));
                Client client = new Client(engine, address)) {
            byte[] body = {3};
            assertEquals(3, client.callRaw("a.B.C", body, Stage.patient()).body()[0]);
        }
    }

    @Test
    void aCallEndsThoughNobodyHasItsEngineAndThenThatIsClosed() throws Exception {
        try (Stage stage = new Stage()) {
            Set<Path> others = cores();
            CompletableFuture<Word> call = begunAndForgotten(stage.address());
            Stage.waitUntil("served", () -> stage.service.seen != null);
            Set<Path> own = cores();
            own.removeAll(others);
            assertEquals(1, own.size());
            collect();
            assertFalse(call.isDone());
            stage.service.release.countDown();
            assertEquals(20_000, call.get(20, TimeUnit.SECONDS).getNumber());
            call = null;
            Stage.waitUntil(
                    "closed",
                    () -> {
                        System.gc();
                        return Collections.disjoint(cores(), own);
                    });
        }
    }

    @Test
    void aRequestWhoseEngineIsClosedIsCancelledAndTellsNothing() {
        Stage stage = new Stage();
        // Too long for the record, so that they are asked for by themselves.
        CallOptions options = Stage.patient().header("long", "x".repeat(5000));
        stage.client.quick(Stage.word("x"), options);
        Context seen = stage.service.seen;
        stage.close();
        assertEquals("trial.Trial.Quick", seen.method());
        assertTrue(seen.isCancelled());
        assertTrue(seen.metadata().isEmpty());
    }

    @Test
    void twoServersOfOneDescriptionAreStrangers() {
        try (Engine engine = Engine.start(new Config().cores(1))) {
            Server.Builder builder =
                    Server.builder().raw("a.B.C", (context, body) -> body).listen("127.0.0.1:0");
            Server first = builder.start(engine);
            Server second = builder.start(engine);
            first.stop(Duration.ZERO);
            try (Client client = new Client(engine, second.addresses().get(0))) {
                byte[] body = {3};
                assertEquals(3, client.callRaw("a.B.C", body, Stage.patient()).body()[0]);
            }
            second.stop(Duration.ZERO);
        }
    }

    @Test
    void aServerThatCannotStartLeavesNothing() {
        try (Engine engine = Engine.start(new Config().cores(1))) {
            Server.Builder builder = Server.builder().raw("a.B.C", (context, body) -> body);
            builder.listen("nonsense");
            assertThrows(MsecException.class, () -> builder.start(engine));
            assertTrue(engine.core().servers.isEmpty());
        }
    }
}
