package org.msec.rpc;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.protobuf.MessageLite;
import java.io.DataInputStream;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Arrays;
import java.util.List;
import java.util.TimerTask;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import library.Client;
import library.Msec.GetTitlesRequest;
import library.Msec.GetTitlesResponse;
import library.Msec.LendRequest;
import library.Msec.LendResponse;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.msec.Context;
import org.msec.Log;
import org.msec.Metrics;
import org.msec.MsecException;
import org.msec.Server;
import org.msec.Status;

/** A service and a caller that were written for the original, and programs around them. */
@Timeout(60)
class ServiceTest {
    /** Runs write one log after the other: what it says of this one is told by this. */
    private static final long RUN = System.nanoTime() & 0x7fff_fff0;

    private static Shelf shelf;

    @BeforeAll
    static void start() {
        shelf = new Shelf();
    }

    @AfterAll
    static void stop() {
        shelf.close();
    }

    private static LendResponse lend(String module, String title, String from, int timeout) {
        return (LendResponse)
                ServiceFactory.callMethod(
                        module,
                        Shelf.LEND,
                        LendRequest.newBuilder().setTitle(title).setFrom(from).build(),
                        LendResponse.getDefaultInstance(),
                        timeout);
    }

    @Test
    void bothSpellingsOfAMethodAreCalled() throws Exception {
        for (String method : List.of(Shelf.TITLES, "library.ShelfService.getTitles")) {
            GetTitlesResponse response = Client.getTitles("Library.shelf", method, "Märchen");
            assertEquals("gefunden: Märchen", response.getMsg());
            assertEquals(List.of("Das Schloß", "三国演义"), response.getTitlesList());
        }
        MsecException error =
                assertThrows(
                        MsecException.class,
                        () -> Client.getTitles("Library.shelf", "library.ShelfService.Get", ""));
        assertEquals(Status.INVALID_METHOD, error.status());
    }

    @Test
    void whatGoesWrongIsThrown() throws Exception {
        String shelf = "Library.shelf";
        assertEquals("127.0.0.1", lend(shelf, "Faust", "", 10_000).getDue());
        for (String[] refused :
                new String[][] {
                    {"", "kein \"Titel\""},
                    {"lost", "the book is lost"},
                    {"reserved", "reserved for another reader"},
                }) {
            MsecException error =
                    assertThrows(
                            MsecException.class, () -> lend(shelf, refused[0], "", 10_000));
            assertEquals(Status.JAVA_FAILED, error.status());
            assertTrue(error.getMessage().contains(refused[1]), error.getMessage());
        }
        RequestTimeoutException late =
                assertThrows(RequestTimeoutException.class, () -> lend(shelf, "slow", "", 50));
        assertTrue(late.getMessage().contains("50 ms"), late.getMessage());
        MsecException none =
                assertThrows(MsecException.class, () -> lend("No.where", "Faust", "", 1000));
        assertEquals(Status.NO_ROUTE, none.status());
    }

    @Test
    void jsonIsUtf8AndErrorsAreEscaped() throws Exception {
        String all = "{\"ret\":0,\"errmsg\":\"\",\"resultObj\":{\"status\":0,";
        String found = all + "\"msg\":\"gefunden: Übermut 100%+1\",";
        for (String method : List.of("GetTitles", "getTitles")) {
            String answer = post(method, "{\"type\":\"Übermut 100%+1\"}");
            assertTrue(answer.startsWith(found), answer);
            assertTrue(answer.contains("三国演义"), answer);
        }
        String refused = post("Lend", "{\"title\":\"\"}");
        String told = "{\"ret\":-1000,\"errmsg\":\"kein \\\"Titel\\\"\"";
        assertTrue(refused.startsWith(told), refused);
    }

    private static String post(String method, String json) throws Exception {
        String at = shelf.address() + "/invoke?methodName=library.ShelfService." + method;
        HttpRequest request =
                HttpRequest.newBuilder(URI.create("http://" + at))
                        .header("content-type", "application/json")
                        .POST(HttpRequest.BodyPublishers.ofString(json))
                        .build();
        HttpClient client = HttpClient.newHttpClient();
        return client.send(request, HttpResponse.BodyHandlers.ofString()).body();
    }

    @Test
    void aProgramWithASocketOfItsOwnCalls() throws Exception {
        SrpcProxy proxy = new SrpcProxy();
        proxy.setCaller("android");
        proxy.setMethod(Shelf.TITLES);
        proxy.setSequence(77);
        byte[] request = proxy.serialize(GetTitlesRequest.newBuilder().setType("ß").build());
        byte[] bytes = exchange(request);
        GetTitlesResponse response =
                (GetTitlesResponse)
                        proxy.deserialize(
                                bytes, bytes.length, GetTitlesResponse.getDefaultInstance());
        assertEquals("gefunden: ß", response.getMsg());
        assertEquals(0, proxy.getErrno());
        assertEquals(77, proxy.getSequence());
        proxy.setMethod(Shelf.LEND);
        bytes = exchange(proxy.serialize(LendRequest.newBuilder().setTitle("lost").build()));
        MessageLite nothing = LendResponse.getDefaultInstance();
        assertNull(proxy.deserialize(bytes, bytes.length, nothing));
        assertEquals(-1000, proxy.getErrno());
        assertEquals("the book is lost", proxy.getErrmsg());
    }

    @Test
    void whereAMessageEndsIsFound() {
        SrpcProxy proxy = new SrpcProxy();
        assertThrows(
                IllegalStateException.class,
                () -> proxy.serialize(GetTitlesRequest.getDefaultInstance()));
        proxy.setMethod("a.B.C");
        byte[] whole = proxy.serialize(LendRequest.newBuilder().setTitle("x").build());
        for (int length = 0; length < whole.length; length++) {
            assertEquals(0, SrpcProxy.checkPackage(whole, length));
        }
        byte[] more = Arrays.copyOf(whole, whole.length + 3);
        assertEquals(whole.length, SrpcProxy.checkPackage(more, more.length));
        for (int[] broken : new int[][] {{0, 'x'}, {1, -1}, {5, -1}, {whole.length - 1, 'x'}}) {
            byte[] bad = whole.clone();
            bad[broken[0]] = (byte) broken[1];
            assertEquals(-1, SrpcProxy.checkPackage(bad, bad.length));
            assertNull(proxy.deserialize(bad, bad.length, LendResponse.getDefaultInstance()));
            assertEquals(Status.INVALID_PACKAGE.code(), proxy.getErrno());
        }
    }

    private static byte[] exchange(byte[] request) throws IOException {
        InetSocketAddress address = Addresses.parse(shelf.address());
        try (Socket socket = new Socket(address.getAddress(), address.getPort())) {
            socket.getOutputStream().write(request);
            DataInputStream input = new DataInputStream(socket.getInputStream());
            byte[] received = new byte[0];
            int length = 0;
            while (length == 0) {
                received = Arrays.copyOf(received, received.length + 1);
                received[received.length - 1] = input.readByte();
                length = SrpcProxy.checkPackage(received, received.length);
            }
            assertEquals(received.length, length);
            return received;
        }
    }

    @Test
    void aColoredRequestIsFollowedThroughAllThatItCalls() throws Exception {
        StringBuilder seen = new StringBuilder();
        try (Server next =
                Server.builder()
                        .methods(
                                methods ->
                                        methods.addRaw(
                                                Shelf.LEND, (context, body) -> see(context, seen)))
                        .listen("127.0.0.1:0")
                        .start(ServiceFactory.engine())) {
            SrpcProxy proxy = new SrpcProxy();
            proxy.setMethod(Shelf.LEND);
            LendRequest.Builder request = LendRequest.newBuilder().setTitle("far");
            request.setFrom(next.addresses().get(0));
            for (boolean colored : new boolean[] {true, false}) {
                seen.setLength(0);
                proxy.setColoring(colored);
                proxy.setSequence(colored ? RUN : RUN + 1);
                byte[] bytes = exchange(proxy.serialize(request.build()));
                LendResponse answer =
                        (LendResponse)
                                proxy.deserialize(
                                        bytes, bytes.length, LendResponse.getDefaultInstance());
                assertEquals(7, answer.getStatus(), proxy.getErrmsg());
                assertEquals(
                        "Library.shelf " + colored + " " + (colored ? RUN : RUN + 1),
                        seen.toString());
            }
        }
        String log = log();
        assertTrue(log.lines().anyMatch(line -> isOf(line, "lending", "ReqID=" + RUN + " ")), log);
        String other = "ReqID=" + (RUN + 1) + " ";
        assertTrue(log.lines().noneMatch(line -> isOf(line, "lending", other)), log);
    }

    private static byte[] see(Context context, StringBuilder seen) {
        seen.append(context.caller() + " " + context.isDyed() + " " + context.flowId());
        return LendResponse.newBuilder().setStatus(7).build().toByteArray();
    }

    @Test
    void recordsHaveTheirOptionsAndAPairOfColorKeepsThem() throws Exception {
        lend("Library.shelf", "Zauberberg" + RUN, "11228491", 10_000);
        lend("Library.shelf", "Effi" + RUN, "11228492", 10_000);
        String log = log();
        String title = "title=Zauberberg" + RUN;
        String line = log.lines().filter(one -> one.contains(title)).findFirst().get();
        for (String part :
                List.of(
                        "DEBUG lending",
                        "uin=11228491",
                        "FileLine=ServiceImpl.java:",
                        "Function=library.ServiceImpl:lend",
                        "RPCName=library.ShelfService.Lend",
                        "Caller=Library.")) {
            assertTrue(line.contains(part), part + " is missing: " + line);
        }
        String plain = "title=Effi" + RUN;
        assertTrue(log.lines().noneMatch(one -> one.contains(plain)), "its level is too low");
    }

    private static boolean isOf(String line, String... parts) {
        return Arrays.stream(parts).allMatch(line::contains);
    }

    private static String log() throws IOException {
        assertTrue(Log.flush(Duration.ofSeconds(20)));
        return Files.readString(Path.of(System.getenv("MSEC_LOG_FOLDER"), "Library.shelf.log"));
    }

    @Test
    void attributesOfAnyLengthAreCounted() {
        api.monitor.msec.org.AccessMonitor.add("a");
        api.monitor.msec.org.AccessMonitor.add("a", 41);
        api.monitor.msec.org.AccessMonitor.set("frm.x", 7);
        lend("Library.shelf", "Faust", "", 10_000);
        String page = Metrics.prometheus(ServiceFactory.engine());
        for (String part :
                List.of("usr.a", " 42", "frm.x", "frm.rpc request incoming: " + Shelf.LEND)) {
            assertTrue(page.contains(part), part + " is missing: " + page);
        }
    }

    @Test
    void theFolderSaysWhoOneIsAndWhatIsSet() {
        ConfigIni here = ConfigIni.around(Path.of(""));
        assertEquals("Library.shelf", here.service());
        assertEquals(List.of("127.0.0.1:0"), here.listen());
        ConfigIni nowhere = ConfigIni.around(Path.of("/"));
        assertEquals("default.default", nowhere.service());
        assertEquals(List.of("0.0.0.0:7963"), nowhere.listen());
        assertEquals("lesen bildet", ServiceFactory.getConfig("SHELF", "motto"));
        assertNull(ServiceFactory.getConfig("SHELF", "empty"));
        assertNull(ServiceFactory.getConfig("SHELVES", "motto"));
    }

    @Test
    void whatIsNoServiceOrNotThisVersionIsRefused() {
        IllegalArgumentException error =
                assertThrows(
                        IllegalArgumentException.class,
                        () -> ServiceFactory.initModule("Library.shelf", 9999));
        assertTrue(error.getMessage().contains("10000"), error.getMessage());
        error =
                assertThrows(
                        IllegalArgumentException.class,
                        () -> ServiceFactory.addService("a.B", TimerTask.class, endless()));
        assertTrue(error.getMessage().contains("java_generic_services"), error.getMessage());
        assertThrows(IllegalStateException.class, ServiceFactory::runService, "it runs already");
    }

    private static TimerTask endless() {
        return new TimerTask() {
            @Override
            public void run() {}
        };
    }

    @Test
    void aLoopRunsUntilItsTaskEndsIt() throws Exception {
        CountDownLatch rounds = new CountDownLatch(3);
        TimerTask task =
                new TimerTask() {
                    @Override
                    public void run() {
                        rounds.countDown();
                        if (rounds.getCount() == 0) {
                            cancel();
                        }
                    }
                };
        ServiceUtils.loop(task, 1);
        assertTrue(rounds.await(20, TimeUnit.SECONDS));
    }
}
