package org.msec;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** What the poller makes of records, and of itself, when something fails meanwhile. */
@Timeout(120)
class PollerTest {
    private static final Workers NONE = workers(handler -> false);

    /** A native engine without a poller. */
    private static Core core(Workers workers) {
        NativeLibrary.require();
        return new Core(Native.engineOpen(new Config().cores(1).settings()), workers);
    }

    private static Workers workers(java.util.function.Predicate<Runnable> run) {
        return new Workers() {
            @Override
            public boolean run(Runnable handler) {
                return run.test(handler);
            }

            @Override
            public void close() {}
        };
    }

    /** Gives the poller one record. */
    private static void round(Poller poller, int kind, long id, long kept) {
        ByteBuffer records = poller.records;
        records.putInt(Layout.RECORD_KIND_AT, kind);
        records.putLong(Layout.RECORD_ID_AT, id);
        records.putLong(Layout.RECORD_KEPT_AT, kept);
        records.putInt(Layout.RECORD_SIZE_AT, Layout.RECORD_BYTES);
        poller.round(Layout.RECORD_BYTES);
    }

    private static void answersWith(Status status, Error error) {
        Core core =
                core(
                        workers(
                                handler -> {
                                    throw error;
                                }));
        try {
            core.add(List.of(new Methods.Method("a.B.C", null, (context, body) -> body)));
            Poller poller = new Poller(core, new CountDownLatch(1));
            round(poller, Layout.KIND_REQUEST, 7, 0);
            assertTrue(poller.answers.position() > 0, "it is answered");
            assertEquals(7, poller.answers.getLong(Layout.ANSWERED_ID_AT));
            assertEquals(status.code(), poller.answers.getInt(Layout.ANSWERED_CODE_AT));
        } finally {
            core.close();
        }
    }

    @Test
    void aRequestWhoseHandlerCannotBeBegunIsAnswered() {
        answersWith(Status.NO_MEMORY, new OutOfMemoryError("no thread, on purpose"));
        answersWith(Status.SERVICE_FAILED, new LinkageError("on purpose"));
    }

    @Test
    void aCallWhoseAnswerCannotBeFetchedFails() {
        Core core = core(NONE);
        try {
            Call<Reply> call = new Call<>(null, core, reply -> reply);
            core.calls.put(9L, call);
            round(new Poller(core, new CountDownLatch(1)), Layout.KIND_RESULT, 9, 12345);
            assertTrue(call.isCompletedExceptionally());
        } finally {
            core.close();
        }
    }

    @Test
    void aRoundThatFailsIsNotTheLastOne() throws Exception {
        Core core = core(NONE);
        Poller poller = new Poller(core, new CountDownLatch(1));
        // An answer of no bytes, which is refused.
        poller.answers.position(64);
        Thread thread = new Thread(poller);
        thread.start();
        try {
            byte[] options = new Fields().text("nonsense").number(1000)
                    .number(Layout.RAW_FIXED).number(1).array();
            Call<Reply> call = new Call<>(null, core, reply -> reply);
            call.start((number, request) ->
                    Native.rawCall(core.handle, number, request, options, new byte[0]));
            assertThrows(ExecutionException.class, () -> call.get(20, TimeUnit.SECONDS));
        } finally {
            core.close();
        }
        thread.join(Stage.PATIENCE.toMillis());
        assertTrue(!thread.isAlive(), "it ends with its engine");
    }

    private static boolean pollersWait() {
        return Thread.getAllStackTraces().entrySet().stream()
                .filter(thread -> thread.getKey().getName().startsWith("msec-poller"))
                .map(thread -> thread.getValue())
                .allMatch(stack -> stack.length > 0 && stack[0].getMethodName().equals("poll"));
    }

    @Test
    void aPollerThatCannotGoOnFailsItsCallsAndClosesItsEngine() throws Exception {
        try (Engine engine = Engine.start(new Config().cores(1))) {
            // Its poller waits for records; a second one is refused meanwhile.
            Stage.waitUntil("waiting", PollerTest::pollersWait);
            Core core = new Core(engine.core().handle, NONE);
            Call<Reply> call = new Call<>(null, core, reply -> reply);
            core.calls.put(9L, call);
            new Poller(core, new CountDownLatch(1)).run();
            assertTrue(call.isCompletedExceptionally());
            MsecException closed = assertThrows(MsecException.class, core::requireOpen);
            assertEquals(Status.SYSTEM_ERROR, closed.status());
            Stage.waitUntil(
                    "closed",
                    () -> {
                        try {
                            return Native.engineConfig(core.handle).length == 0;
                        } catch (MsecException error) {
                            return true;
                        }
                    });
        }
    }

    @Test
    void aCallIsGivenUpThoughItsEngineIsGone() {
        Core core = core(NONE);
        Call<Reply> call = new Call<>(null, core, reply -> reply);
        call.start((number, request) -> 77);
        Native.engineClose(core.handle);
        assertTrue(call.cancel(true));
        core.close();
    }

    @Test
    void theLongAnswerOfACallThatIsGoneIsLetGoOf() throws Exception {
        byte[] answer = new byte[3 * Layout.INLINE_BYTES_MAX];
        CountDownLatch gone = new CountDownLatch(1);
        AtomicInteger written = new AtomicInteger();
        try (Engine engine = Engine.start(new Config().cores(1));
                ServerSocket peer = new ServerSocket(0, 8, InetAddress.getLoopbackAddress())) {
            Thread accepts = new Thread(() -> serve(peer, answer, gone, written));
            accepts.setDaemon(true);
            accepts.start();
            String target = "127.0.0.1:" + peer.getLocalPort();
            Raw.End end = Raw.fixed(answer.length);
            Duration patience = Stage.PATIENCE;
            CompletableFuture<byte[]> call =
                    Raw.callAsync(engine, target, new byte[1], end, patience);
            engine.core().calls.clear();
            gone.countDown();
            Stage.waitUntil("written", () -> written.get() == 1);
            assertArrayEquals(answer, Raw.call(engine, target, new byte[1], end, patience));
            assertTrue(!call.isDone());
            // The first number that there is.
            long kept = 1L << 32;
            long handle = engine.core().handle;
            assertThrows(MsecException.class, () -> Native.body(handle, false, kept));
        }
    }

    private static void serve(
            ServerSocket peer, byte[] answer, CountDownLatch gone, AtomicInteger written) {
        try {
            while (true) {
                Socket socket = peer.accept();
                Thread thread =
                        new Thread(
                                () -> {
                                    try (socket) {
                                        while (socket.getInputStream().read() >= 0) {
                                            gone.await();
                                            socket.getOutputStream().write(answer);
                                            written.incrementAndGet();
                                        }
                                    } catch (IOException | InterruptedException closed) {
                                        // The test is over.
                                    }
                                });
                thread.setDaemon(true);
                thread.start();
            }
        } catch (IOException closed) {
            // The test is over.
        }
    }
}
