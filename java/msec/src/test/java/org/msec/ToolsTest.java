package org.msec;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** Configuration, routes, metrics, the log, other protocols. */
@Timeout(60)
class ToolsTest {
    @Test
    void anEngineSaysWhatIsInForce() {
        Config config = new Config().cores(2).service("Demo.web").set("MSEC_STALL_MS", "345");
        try (Engine engine = Engine.start(config)) {
            assertEquals("345", engine.config().get("stall_ms"));
            assertEquals("2", engine.config().get("cores"));
            assertEquals("Demo.web", engine.config().get("service"));
            assertNull(engine.config().get("none"));
        }
        MsecException error =
                assertThrows(
                        MsecException.class,
                        () -> Engine.start(new Config().set("MSEC_CORES", "viele")));
        assertEquals(Status.INVALID_PARAMETER, error.status());
        assertTrue(error.getMessage().contains("MSEC_CORES is `viele`"), error.getMessage());
    }

    @Test
    void aServerThatCannotStartSaysWhy() {
        try (Stage stage = new Stage()) {
            Server.Builder nowhere = Server.builder().service(stage.service).listen("nowhere");
            MsecException error =
                    assertThrows(MsecException.class, () -> nowhere.start(stage.engine));
            assertEquals(Status.INVALID_ENDPOINT, error.status(), error.getMessage());
            Server.Builder taken =
                    Server.builder().service(stage.service).listen("unix:/none/where");
            error = assertThrows(MsecException.class, () -> taken.start(stage.engine));
            assertEquals(Status.SYSTEM_ERROR, error.status(), error.getMessage());
            assertThrows(
                    IllegalArgumentException.class, () -> Server.builder().object("no method"));
        }
    }

    @Test
    void callsByNameFollowTheRoutesAndFeedThem() {
        try (Stage stage = new Stage();
                Client client = new Client(stage.engine, "Demo.trial")) {
            byte[] body = Stage.word("x").toByteArray();
            CallOptions options = Stage.patient();
            MsecException error =
                    assertThrows(
                            MsecException.class,
                            () -> client.callRaw("trial.Trial.Echo", body, options));
            assertEquals(Status.NO_ROUTE, error.status());
            String instance = "[[service.instance]]\naddress = \"%s\"\n";
            String routes =
                    "[[service]]\nname = \"Demo.trial\"\n"
                            + instance.formatted(stage.address())
                            + instance.formatted("127.0.0.1:1");
            Route.set(stage.engine, routes);
            for (int call = 0; call < 50; call++) {
                client.callRaw("trial.Trial.Echo", body, options);
            }
            String explained = Route.explain(stage.engine);
            assertTrue(explained.contains("Demo.trial"), explained);
            error =
                    assertThrows(
                            MsecException.class,
                            () -> Route.set(stage.engine, "[[service]]\nnonsense\n"));
            assertTrue(error.getMessage().contains("2"), error.getMessage());
            assertEquals(List.of("Demo.trial"), Route.push(stage.engine, ""));
            client.callRaw("trial.Trial.Echo", body, options);
            Route.confirm(stage.engine, "Demo.trial");
            assertThrows(MsecException.class, () -> Route.confirm(stage.engine, "Demo.trial"));
            assertThrows(MsecException.class, () -> Route.load(stage.engine, "/none/where"));
        }
    }

    @Test
    void whatIsPickedByHandIsCalledByOtherMeansAndReported() {
        try (Stage stage = new Stage()) {
            String instance = "[[service.instance]]\naddress = \"%s\"\n";
            String live = stage.address();
            String dead = "127.0.0.9:1";
            Route.set(
                    stage.engine,
                    "[[service]]\nname = \"Demo.trial\"\n"
                            + instance.formatted(live)
                            + instance.formatted(dead));
            Stage.waitUntil(
                    "ejected",
                    () -> {
                        String picked = Route.pick(stage.engine, "Demo.trial");
                        int failures = picked.equals(dead) ? 1 : 0;
                        assertTrue(failures == 1 || picked.equals(live), picked);
                        String whom = failures == 1 ? "127.0.0.9" : picked;
                        Duration took = Duration.ofMillis(1);
                        Route.report(stage.engine, "Demo.trial", whom, failures, took);
                        return Route.explain(stage.engine).contains("ejected");
                    });
            MsecException error =
                    assertThrows(
                            MsecException.class, () -> Route.pick(stage.engine, "Demo.none"));
            assertEquals(Status.NO_ROUTE, error.status());
            Duration second = Duration.ofSeconds(1);
            assertThrows(
                    MsecException.class,
                    () -> Route.report(stage.engine, "Demo.trial", live, -1, second));
            assertThrows(
                    MsecException.class,
                    () -> Route.report(stage.engine, "Demo.trial", "nonsense", 0, second));
        }
    }

    @Test
    void attributesAreAmongTheMetrics() {
        try (Stage stage = new Stage()) {
            Metrics.add("java_tools_sum", 3, "stadt", "Köln");
            Metrics.add("java_tools_sum", 4, "stadt", "Köln");
            Metrics.set("java_tools_value", -5);
            Metrics.record("java_tools_size", 100);
            stage.client.echo(Stage.word("x"), Stage.patient());
            Stage.waitUntil(
                    "counted",
                    () -> Metrics.prometheus(stage.engine).contains("java_tools_size"));
            String metrics = Metrics.prometheus(stage.engine);
            List<String> lines = metrics.lines().filter(l -> l.contains("java_tools")).toList();
            String text = String.join("\n", lines);
            assertTrue(text.contains("Köln\"} 7"), text);
            assertTrue(text.contains(" -5"), text);
            assertTrue(metrics.contains("trial.Trial.Echo"), metrics);
            assertThrows(
                    IllegalArgumentException.class, () -> Metrics.add("java_tools_sum", 1, "a"));
        }
    }

    @Test
    void recordsOfAHandlerSayWhomTheyAreAbout(@TempDir Path folder) throws Exception {
        Config config = new Config().cores(1).service("Demo.log");
        config.set("MSEC_LOG_FOLDER", folder.toString());
        Handler<byte[], byte[]> handler =
                (context, body) -> {
                    Log.option("uin", "11228491");
                    Log.info("geschrieben für", "pieces", 3);
                    Log.debug("never kept");
                    return body;
                };
        try (Engine engine = Engine.start(config);
                Server server =
                        Server.builder()
                                .raw("a.B.C", handler)
                                .listen("127.0.0.1:0")
                                .start(engine);
                Client client = new Client(engine, server.addresses().get(0))) {
            client.callRaw("a.B.C", new byte[0], Stage.patient());
            Log.warn("of nobody");
            assertTrue(Log.flush(Stage.PATIENCE));
            String text = Files.readString(folder.resolve("Demo.log.log"));
            List<String> lines = text.lines().toList();
            String line = lines.stream().filter(l -> l.contains("geschrieben")).findFirst().get();
            for (String part :
                    List.of("INFO", "pieces=3", "uin=11228491", "RPCName=a.B.C", "ReqID=",
                            "FileLine=ToolsTest.java:")) {
                assertTrue(line.contains(part), part + " is missing: " + line);
            }
            assertTrue(lines.stream().noneMatch(l -> l.contains("never kept")), text);
            String nobody = lines.stream().filter(l -> l.contains("of nobody")).findFirst().get();
            assertTrue(!nobody.contains("RPCName"), nobody);
        }
    }

    /** Answers each line with a line. */
    private static void serveLines(ServerSocket listener) {
        try (Socket socket = listener.accept();
                BufferedReader lines =
                        new BufferedReader(
                                new InputStreamReader(
                                        socket.getInputStream(), StandardCharsets.UTF_8))) {
            OutputStream out = socket.getOutputStream();
            for (String line = lines.readLine(); line != null; line = lines.readLine()) {
                out.write(("+" + line + "\r\nmore").getBytes(StandardCharsets.UTF_8));
                out.flush();
            }
        } catch (IOException ended) {
            // With the test.
        }
    }

    @Test
    void aThirdPartysProtocolIsCalled() throws Exception {
        InetAddress local = InetAddress.getLoopbackAddress();
        try (Engine engine = Engine.start(new Config().cores(1));
                ServerSocket listener = new ServerSocket(0, 5, local)) {
            Thread thread = new Thread(() -> serveLines(listener));
            thread.start();
            String address = "127.0.0.1:" + listener.getLocalPort();
            byte[] ping = "PING\r\n".getBytes(StandardCharsets.UTF_8);
            byte[] answer = Raw.call(engine, address, ping, Raw.until("\r\n"), Stage.PATIENCE);
            assertArrayEquals("+PING\r\n".getBytes(StandardCharsets.UTF_8), answer);
        }
        try (Engine engine = Engine.start(new Config().cores(1))) {
            MsecException error =
                    assertThrows(
                            MsecException.class,
                            () ->
                                    Raw.call(
                                            engine,
                                            "127.0.0.1:1",
                                            new byte[1],
                                            Raw.fixed(1),
                                            Duration.ofSeconds(5)));
            assertEquals(Status.NETWORK, error.status(), error.getMessage());
            error =
                    assertThrows(
                            MsecException.class,
                            () ->
                                    Raw.call(
                                            engine,
                                            "127.0.0.1:1",
                                            new byte[1],
                                            Raw.length(0, 9, 0),
                                            Duration.ofSeconds(5)));
            assertEquals(Status.INVALID_PARAMETER, error.status(), error.getMessage());
        }
    }

    @Test
    void statusesAreThoseOfTheProtocol() {
        assertEquals(0, Status.OK.code());
        assertEquals("overloaded", Status.of(-101).text());
        assertTrue(Status.OVERLOADED.isRetryable());
        assertEquals(Status.Side.CALLER, Status.INVALID_BODY.side());
        assertEquals("UNKNOWN", Status.of(-12345).name());
        assertEquals(-12345, Status.of(-12345).code());
        assertEquals(Status.all().size(), Status.all().stream().distinct().count());
    }
}
