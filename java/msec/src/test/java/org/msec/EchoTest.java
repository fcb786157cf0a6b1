package org.msec;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.msec.trial.Word;

/** Requests and answers, over real sockets. */
@Timeout(120)
class EchoTest {
    private static final String WORDS = "ä 漢字 \uD83D\uDE00 \u0000 e\u0301";

    @Test
    void whatIsSentComesBackFromBothKindsOfHandlers() {
        try (Stage stage = new Stage()) {
            assertEquals(WORDS, stage.client.echo(Stage.word(WORDS), Stage.patient()).getText());
            assertFalse(stage.service.thread.getName().startsWith("msec-poller"));
            assertEquals(WORDS, stage.client.quick(Stage.word(WORDS), Stage.patient()).getText());
            assertTrue(stage.service.thread.getName().startsWith("msec-poller"));
        }
    }

    @Test
    void bodiesOfEverySizeComeBackUpToTheLimit() {
        try (Stage stage = new Stage()) {
            int limit = 16 << 20;
            for (int size : new int[] {0, 1, 8180, 8192, 8200, 262_144, 1 << 20, limit - 8}) {
                Word word = Stage.bytes(size);
                assertEquals(word, stage.client.echo(word, Stage.patient()), "" + size);
                assertEquals(word, stage.client.quick(word, Stage.patient()), "" + size);
            }
            MsecException error =
                    assertThrows(
                            MsecException.class,
                            () -> stage.client.echo(Stage.bytes(limit), Stage.patient()));
            assertEquals(Status.TOO_LARGE, error.status());
        }
    }

    @Test
    void thousandsOfCallsRunAtATime() throws Exception {
        try (Stage stage = new Stage(new Config().handlersWaiting(10_000))) {
            List<CompletableFuture<Word>> calls = new ArrayList<>();
            for (int number = 0; number < 5000; number++) {
                Word word = Stage.number(number);
                boolean quick = number % 2 == 0;
                calls.add(
                        quick
                                ? stage.client.quickAsync(word, Stage.patient())
                                : stage.client.echoAsync(word, Stage.patient()));
            }
            for (int number = 0; number < calls.size(); number++) {
                Word word = calls.get(number).get(60, TimeUnit.SECONDS);
                assertEquals(number, word.getNumber());
            }
        }
    }

    @Test
    void aHandlerSeesWhatTheCallerSays() {
        try (Stage stage = new Stage(new Config().service("Demo.groesse"))) {
            CallOptions options = Stage.patient().header("tenant", "blau ü").header("leer", "");
            options.priority(Priority.CRITICAL);
            stage.client.echo(Stage.word("x"), options);
            assertTrue(stage.service.facts.startsWith("127.0.0.1:"), stage.service.facts);
            assertTrue(stage.service.facts.endsWith(" Demo.groesse trial.Trial.Echo"));
            Context seen = stage.service.seen;
            assertEquals("blau ü", seen.header("tenant"));
            assertEquals("", seen.header("leer"));
            assertNull(seen.header("none"));
            assertEquals(Priority.CRITICAL, seen.priority());
            assertEquals(0, seen.attempt());
            assertFalse(seen.isDyed());
            assertTrue(seen.flowId() != 0);
            long left = seen.remainingMs();
            assertTrue(left > 10_000 && left <= Stage.PATIENCE.toMillis(), "" + left);
            assertTrue(seen.isCancelled(), "it was answered");
            stage.client.quick(Stage.word("x"), Stage.patient().dyed().caller("Other.größe"));
            assertTrue(stage.service.seen.isDyed());
            assertEquals("Other.größe", stage.service.seen.caller());
        }
    }

    @Test
    void longHeadersArriveWhole() {
        String value = "ö".repeat(3000);
        Handler<byte[], byte[]> handler =
                (context, body) -> context.header("long").getBytes(StandardCharsets.UTF_8);
        try (Engine engine = Engine.start(new Config().cores(1));
                Server server =
                        Server.builder()
                                .raw("a.B.C", handler)
                                .listen("127.0.0.1:0")
                                .start(engine);
                Client client = new Client(engine, server.addresses().get(0))) {
            CallOptions options = Stage.patient().header("long", value);
            Reply reply = client.callRaw("a.B.C", new byte[0], options);
            assertEquals(value, new String(reply.body(), StandardCharsets.UTF_8));
        }
    }

    @Test
    void theBusinessValueTravels() {
        try (Stage stage = new Stage();
                Client client = new Client(stage.engine, stage.address())) {
            byte[] body = Stage.number(-5).toByteArray();
            for (String method : List.of("trial.Trial.Echo", "trial.Trial.Quick")) {
                assertEquals(-5, client.callRaw(method, body, Stage.patient()).result());
            }
        }
    }

    /** What is marked, on an object of no special class. */
    public static final class Marked {
        /** Takes messages. */
        @Serves("marked.M.Shout")
        public Word shout(Context context, Word word) {
            return Stage.word(word.getText() + "!");
        }

        /** Takes bytes, on the poller. */
        @NonBlocking
        @Serves("marked.M.Length")
        public byte[] length(Context context, byte[] bytes) throws Exception {
            if (bytes.length == 0) {
                throw new java.io.IOException("nothing there");
            }
            return new byte[] {(byte) bytes.length};
        }
    }

    @Test
    void methodsOfAnObjectThatAreMarkedServe() {
        try (Engine engine = Engine.start(new Config().cores(1));
                Server server =
                        Server.builder()
                                .object(new Marked())
                                .listen("127.0.0.1:0")
                                .start(engine);
                Client client = new Client(engine, server.addresses().get(0))) {
            Word hey = Stage.word("hey");
            Word word = client.call("marked.M.Shout", hey, Word.parser(), Stage.patient());
            assertEquals("hey!", word.getText());
            Reply reply = client.callRaw("marked.M.Length", new byte[7], Stage.patient());
            assertEquals(7, reply.body()[0]);
            MsecException error =
                    assertThrows(
                            MsecException.class,
                            () -> client.callRaw("marked.M.Length", new byte[0], Stage.patient()));
            assertTrue(error.getMessage().contains("nothing there"), error.getMessage());
        }
    }

    @Test
    void callsThatHandlersMakeInheritTheDeadline() {
        try (Stage stage = new Stage()) {
            Word relay = Stage.word(stage.address()).toBuilder().setNumber(20_000).build();
            long begin = System.nanoTime();
            CallOptions options = new CallOptions().timeout(Stage.PATIENCE.dividedBy(2));
            CompletableFuture<Word> call = stage.client.relayAsync(relay, options);
            Stage.waitUntil("served", () -> stage.service.seen != null);
            Context nested = stage.service.seen;
            assertEquals("trial.Trial.Rest", nested.method());
            // By itself it would have all of it, from later on.
            assertTrue(nested.deadlineNs() - begin < Stage.PATIENCE.toNanos());
            stage.service.release.countDown();
            assertEquals(20_000, call.join().getNumber());
        }
    }

    @Test
    void aOneWayCallEndsWhenItIsWritten() {
        try (Stage stage = new Stage()) {
            Word nothing = stage.client.echo(Stage.word("x"), Stage.patient().oneWay());
            assertEquals(Word.getDefaultInstance(), nothing);
            Stage.waitUntil("served", () -> stage.service.seen != null);
            assertTrue(stage.service.seen.isOneWay());
        }
    }

    @Test
    void compressedBodiesArriveAsTheyWere() {
        try (Stage stage = new Stage()) {
            Word word = Stage.word("ab".repeat(50_000));
            for (int round = 0; round < 3; round++) {
                assertEquals(word, stage.client.echo(word, Stage.patient().lz4()));
                assertEquals(word, stage.client.quick(word, Stage.patient().zstd()));
            }
        }
    }
}
