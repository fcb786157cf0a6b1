package org.msec;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReference;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.msec.trial.Word;

/** What goes wrong: what the caller is told, and that the others do not notice. */
@Timeout(120)
class FaultTest {
    private static void failsWith(Stage stage, String how, Status status, String text) {
        MsecException error =
                assertThrows(
                        MsecException.class,
                        () -> stage.client.fail(Stage.word(how), Stage.patient()));
        assertEquals(status, error.status(), error.getMessage());
        assertTrue(error.getMessage().contains(text), error.getMessage());
        assertEquals("x", stage.client.echo(Stage.word("x"), Stage.patient()).getText());
    }

    @Test
    void whatAHandlerDoesWrongIsItsOwnCallersAlone() {
        try (Stage stage = new Stage()) {
            Status failed = Status.SERVICE_FAILED;
            failsWith(stage, "kaputt", failed, "java.lang.IllegalStateException: kaputt");
            failsWith(stage, "null", failed, "returned null");
            failsWith(stage, "stack", failed, "StackOverflowError");
            failsWith(stage, "heap", Status.NO_MEMORY, "heap");
            failsWith(stage, "status", Status.of(-77), "wie gewünscht");
            failsWith(stage, "mute", failed, "the handler threw org.msec.Stage$Mute");
            failsWith(stage, "option", failed, "with an option");
        }
    }

    /** A method on the poller; the engine has nothing else. */
    private static Server quick(Engine engine, Handler<byte[], byte[]> handler) {
        return Server.builder()
                .methods(methods -> methods.addRaw("a.B.C", handler).nonBlocking())
                .listen("127.0.0.1:0")
                .start(engine);
    }

    @Test
    void whatAHandlerOnThePollerThrowsOrLeavesBehindIsNotTheNextOnes() {
        Handler<byte[], byte[]> handler =
                (context, body) -> {
                    byte[] interrupted = {(byte) (Thread.currentThread().isInterrupted() ? 1 : 0)};
                    Thread.currentThread().interrupt();
                    if (body.length > 0) {
                        throw new Stage.Mute();
                    }
                    return interrupted;
                };
        try (Engine engine = Engine.start(new Config().cores(1));
                Server server = quick(engine, handler);
                Client client = new Client(engine, server.addresses().get(0))) {
            for (int round = 0; round < 2; round++) {
                MsecException error =
                        assertThrows(
                                MsecException.class,
                                () -> client.callRaw("a.B.C", new byte[1], Stage.patient()));
                assertEquals(Status.SERVICE_FAILED, error.status(), error.getMessage());
                assertTrue(error.getMessage().contains("Mute"), error.getMessage());
                Reply reply = client.callRaw("a.B.C", new byte[0], Stage.patient());
                assertEquals(0, reply.body()[0]);
            }
        }
    }

    /** Two requests, of which the second waits behind the first until nobody waits for it. */
    private static void givenUpOnesAreNotServed(Config config, boolean nonBlocking) {
        CountDownLatch pause = new CountDownLatch(1);
        AtomicInteger served = new AtomicInteger();
        Handler<byte[], byte[]> handler =
                (context, body) -> {
                    served.incrementAndGet();
                    if (body.length > 0) {
                        pause.await();
                    }
                    return body;
                };
        // Another engine, since calls of this one are ended by the poller that is held up.
        try (Engine engine = Engine.start(config.cores(1));
                Engine caller = Engine.start(new Config().cores(1))) {
            Server.Builder builder = Server.builder().listen("127.0.0.1:0");
            builder.methods(
                    methods -> {
                        Methods.Method method = methods.addRaw("a.B.C", handler);
                        method.adaptiveLimit(false).nonBlocking = nonBlocking;
                    });
            try (Server server = builder.start(engine);
                    Client client = new Client(caller, server.addresses().get(0))) {
                // That requests may be cancelled is told by an answer.
                client.callRaw("a.B.C", new byte[0], Stage.patient());
                CompletableFuture<Reply> first =
                        client.callRawAsync("a.B.C", new byte[1], Stage.patient());
                Stage.waitUntil("served", () -> served.get() == 2);
                CompletableFuture<Reply> second =
                        client.callRawAsync("a.B.C", new byte[1], Stage.patient());
                Stage.waitUntil("there", () -> server.requestsInFlight() == 2);
                second.cancel(true);
                // The core answers this by itself, after what came before it on the connection.
                assertThrows(
                        MsecException.class,
                        () -> client.callRaw("a.B.None", new byte[1], Stage.patient()));
                pause.countDown();
                first.join();
                client.callRaw("a.B.C", new byte[0], Stage.patient());
                assertEquals(3, served.get());
            }
        }
    }

    @Test
    void aRequestThatNobodyWaitsForAnyMoreIsNotServed() {
        givenUpOnesAreNotServed(new Config(), true);
        Config one = new Config().virtualThreads(false).handlerThreads(1).handlersWaiting(9);
        givenUpOnesAreNotServed(one, false);
    }

    @Test
    void aBodyThatIsNoMessageIsRefused() {
        try (Stage stage = new Stage();
                Client client = new Client(stage.engine, stage.address())) {
            byte[] broken = {(byte) 0xff};
            byte[] longBroken = new byte[20_000];
            java.util.Arrays.fill(longBroken, (byte) 0xff);
            for (String method : List.of("trial.Trial.Echo", "trial.Trial.Quick")) {
                for (byte[] body : List.of(broken, longBroken)) {
                    MsecException error =
                            assertThrows(
                                    MsecException.class,
                                    () -> client.callRaw(method, body, Stage.patient()));
                    assertEquals(Status.INVALID_BODY, error.status(), error.getMessage());
                }
            }
        }
    }

    @Test
    void anInterruptEndsTheCallAndTheCalleeIsTold() throws Exception {
        try (Stage stage = new Stage()) {
            // That it may be cancelled is told by an answer.
            stage.client.echo(Stage.word("x"), Stage.patient());
            AtomicReference<MsecException> thrown = new AtomicReference<>();
            AtomicReference<Boolean> flag = new AtomicReference<>();
            Thread caller =
                    new Thread(
                            () -> {
                                try {
                                    stage.client.rest(Stage.number(20_000), Stage.patient());
                                } catch (MsecException error) {
                                    thrown.set(error);
                                    flag.set(Thread.currentThread().isInterrupted());
                                }
                            });
            caller.start();
            Stage.waitUntil("served", () -> stage.service.seen.method().endsWith("Rest"));
            Context seen = stage.service.seen;
            assertFalse(seen.isCancelled());
            caller.interrupt();
            caller.join(Stage.PATIENCE.toMillis());
            assertEquals(Status.CANCELLED, thrown.get().status());
            assertTrue(flag.get(), "the thread is still interrupted");
            Stage.waitUntil("cancelled", seen::isCancelled);
            assertTrue(seen.remainingMs() > 0);
        }
    }

    @Test
    void aFutureThatIsCancelledGivesTheCallUp() {
        try (Stage stage = new Stage()) {
            // That it may be cancelled is told by an answer.
            stage.client.echo(Stage.word("x"), Stage.patient());
            CompletableFuture<Word> call =
                    stage.client.restAsync(Stage.number(20_000), Stage.patient());
            Stage.waitUntil("served", () -> stage.service.seen.method().endsWith("Rest"));
            Context seen = stage.service.seen;
            assertTrue(call.cancel(true));
            Stage.waitUntil("cancelled", seen::isCancelled);
            assertTrue(seen.remainingMs() > 0);
            assertTrue(stage.engine.core().calls.isEmpty());
        }
    }

    @Test
    void aHandlerThatBlocksForEverHoldsUpNobody() {
        try (Stage stage = new Stage()) {
            for (int stuck = 0; stuck < 20; stuck++) {
                stage.client.restAsync(Stage.number(Long.MAX_VALUE), Stage.patient());
            }
            for (int number = 0; number < 1000; number++) {
                Word echo = stage.client.echo(Stage.number(number), Stage.patient());
                assertEquals(number, echo.getNumber());
            }
        }
    }

    @Test
    void requestsBeyondTheHandlersThreadsAreRefused() {
        Config config = new Config().virtualThreads(false).handlerThreads(2).handlersWaiting(3);
        try (Stage stage = new Stage(config)) {
            List<CompletableFuture<Word>> calls = new ArrayList<>();
            for (int number = 0; number < 20; number++) {
                CallOptions once = Stage.patient().retries(0);
                calls.add(stage.client.restAsync(Stage.number(20_000), once));
            }
            Stage.waitUntil(
                    "refused",
                    () -> calls.stream().filter(CompletableFuture::isDone).count() == 15);
            stage.service.release.countDown();
            int served = 0;
            for (CompletableFuture<Word> call : calls) {
                try {
                    call.join();
                    served++;
                } catch (CompletionException error) {
                    MsecException cause = (MsecException) error.getCause();
                    assertEquals(Status.OVERLOADED, cause.status());
                }
            }
            assertEquals(5, served);
        }
    }

    /** How a handler may wait for a call. */
    private interface Wait {
        Reply of(Client client, byte[] body) throws Exception;
    }

    /** Of another method, so that the handler does not call itself for ever. */
    private static CompletableFuture<Reply> begun(Client client, byte[] body) {
        return client.callRawAsync("a.B.None", body, Stage.patient());
    }

    @Test
    void whatWouldBlockThePollerFailsInsteadOfWaitingForItself() {
        List<Wait> waits =
                List.of(
                        (client, body) -> client.callRaw("a.B.None", body, Stage.patient()),
                        (client, body) -> begun(client, body).get(),
                        (client, body) -> begun(client, body).get(20, TimeUnit.SECONDS),
                        (client, body) -> begun(client, body).join());
        for (Wait wait : waits) {
            AtomicReference<Client> self = new AtomicReference<>();
            Handler<byte[], byte[]> handler = (context, body) -> wait.of(self.get(), body).body();
            try (Engine engine = Engine.start(new Config().cores(1));
                    Server server = quick(engine, handler);
                    Client client = new Client(engine, server.addresses().get(0))) {
                self.set(client);
                MsecException error =
                        assertThrows(
                                MsecException.class,
                                () -> client.callRaw("a.B.C", new byte[0], Stage.patient()));
                assertEquals(Status.SYSTEM_ERROR, error.status(), error.getMessage());
                assertTrue(error.getMessage().contains("@NonBlocking"), error.getMessage());
                assertTrue(engine.core().calls.isEmpty(), "they are given up");
            }
        }
    }

    @Test
    void whatIsClosedSaysSoAndStaysClosed() {
        Stage stage = new Stage();
        stage.client.close();
        stage.client.close();
        MsecException error =
                assertThrows(MsecException.class, () -> stage.client.echo(Stage.word("x")));
        assertEquals(Status.SYSTEM_ERROR, error.status());
        assertTrue(error.getMessage().contains("is closed"), error.getMessage());
        stage.server.stop(Duration.ZERO);
        stage.server.stop(Duration.ZERO);
        stage.server.close();
        assertThrows(MsecException.class, () -> stage.server.drain());
        assertThrows(MsecException.class, () -> stage.server.requestsInFlight());
        stage.engine.close();
        stage.engine.close();
        assertThrows(MsecException.class, () -> new Client(stage.engine, "127.0.0.1:1"));
        assertThrows(MsecException.class, () -> stage.engine.config());
        assertThrows(
                MsecException.class,
                () -> Server.builder().service(stage.service).start(stage.engine));
        assertThrows(MsecException.class, () -> Metrics.prometheus(stage.engine));
        assertThrows(MsecException.class, () -> Route.explain(stage.engine));
        assertThrows(MsecException.class, () -> Route.pick(stage.engine, "Demo.trial"));
        Duration second = Duration.ofSeconds(1);
        assertThrows(
                MsecException.class,
                () -> Route.report(stage.engine, "Demo.trial", "127.0.0.1:1", 0, second));
    }

    @Test
    void closingAnEngineDuringCallsEndsThemAll() throws Exception {
        for (int round = 0; round < 5; round++) {
            Stage stage = new Stage();
            List<CompletableFuture<Word>> calls = new ArrayList<>();
            for (int number = 0; number < 200; number++) {
                calls.add(stage.client.restAsync(Stage.number(20_000), Stage.patient()));
            }
            Thread closing = new Thread(stage.engine::close);
            closing.start();
            List<MsecException> refused = new ArrayList<>();
            while (closing.isAlive()) {
                if (calls.size() > 2000) {
                    Thread.yield();
                    continue;
                }
                try {
                    calls.add(stage.client.echoAsync(Stage.word("x"), Stage.patient()));
                } catch (MsecException error) {
                    refused.add(error);
                }
            }
            stage.service.release.countDown();
            for (CompletableFuture<Word> call : calls) {
                try {
                    call.get(20, TimeUnit.SECONDS);
                } catch (ExecutionException error) {
                    assertTrue(error.getCause() instanceof MsecException, "" + error.getCause());
                }
            }
            refused.forEach(error -> assertEquals(Status.SYSTEM_ERROR, error.status()));
        }
    }

    @Test
    void anEngineMayBeClosedAsSoonAsItIsStarted() {
        for (int round = 0; round < 20; round++) {
            Engine.start(new Config().cores(1)).close();
        }
        Stage.waitUntil(
                "ended",
                () ->
                        Thread.getAllStackTraces().keySet().stream()
                                .noneMatch(thread -> thread.getName().startsWith("msec-poller")));
    }

    @Test
    void tenThousandClientsAreNothing() {
        try (Stage stage = new Stage()) {
            List<Client> clients = new ArrayList<>();
            byte[] body = Stage.word("x").toByteArray();
            for (int number = 0; number < 10_000; number++) {
                clients.add(new Client(stage.engine, stage.address()));
            }
            for (int number = 0; number < 10_000; number += 1000) {
                clients.get(number).callRaw("trial.Trial.Echo", body, Stage.patient());
            }
            clients.forEach(Client::close);
            clients.forEach(Client::close);
        }
    }

    @Test
    void aPauseOfThePollerLosesNoCallAndWhatHasNoRoomIsRefused() throws Exception {
        // The poller does not come, as in a long collection, and then there are too many.
        try (Engine engine = Engine.start(new Config().cores(1))) {
            CountDownLatch pause = new CountDownLatch(1);
            Handler<byte[], byte[]> handler =
                    (context, body) -> {
                        pause.await();
                        return body;
                    };
            Server server =
                    Server.builder()
                            .methods(
                                    methods ->
                                            methods.addRaw("a.B.C", handler)
                                                    .nonBlocking()
                                                    .adaptiveLimit(false))
                            .listen("127.0.0.1:0")
                            .start(engine);
            try (Client client = new Client(engine, server.addresses().get(0))) {
                List<CompletableFuture<Reply>> calls = new ArrayList<>();
                for (int number = 0; number < 24_000; number++) {
                    // A connection takes a thousand requests at a time.
                    CallOptions options = new CallOptions().timeout(Duration.ofSeconds(100));
                    options.retries(0).lane(1 + number % 30);
                    calls.add(client.callRawAsync("a.B.C", new byte[] {1}, options));
                }
                Stage.waitUntil("full", () -> server.requestsInFlight() >= 16 * 1024);
                pause.countDown();
                int served = 0;
                int refused = 0;
                for (CompletableFuture<Reply> call : calls) {
                    try {
                        call.get(100, TimeUnit.SECONDS);
                        served++;
                    } catch (ExecutionException error) {
                        MsecException cause = (MsecException) error.getCause();
                        assertEquals(Status.OVERLOADED, cause.status(), cause.toString());
                        refused++;
                    }
                }
                assertTrue(served >= 16 * 1024, served + " served");
                assertTrue(refused > 0, refused + " refused");
                assertEquals(calls.size(), served + refused);
            }
        }
    }
}
