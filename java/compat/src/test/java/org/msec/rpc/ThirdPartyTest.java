package org.msec.rpc;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import api.lb.msec.org.AccessLB;
import api.lb.msec.org.Route;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.nio.charset.StandardCharsets;
import library.Catalogue;
import library.Msec.LendRequest;
import library.Msec.LendResponse;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.msec.MsecException;
import org.msec.Server;
import org.msec.Status;

/** Protocols of third parties, and what becomes of instances that do not work. */
@Timeout(60)
class ThirdPartyTest {
    private static String ask(String module, String question, int timeout) {
        byte[] answer =
                ServiceFactory.callMethod(module, "ask", new Catalogue.Codec(question), timeout);
        return new String(answer, StandardCharsets.UTF_8);
    }

    private static Status failure(String module, String question) {
        return assertThrows(MsecException.class, () -> ask(module, question, 5000)).status();
    }

    @Test
    void aConnectionIsKeptForTheNextCallUnlessItFails() throws Exception {
        try (Catalogue catalogue = new Catalogue("127.0.0.1", 0)) {
            String at = catalogue.address();
            for (int call = 0; call < 20; call++) {
                assertTrue(ask(at, "größe " + call, 5000).contains("größe " + call));
            }
            assertEquals(1, catalogue.connections());
            // The peer closes what is kept: it is noticed, and the next call has a new one.
            assertTrue(ask(at, "goodbye", 5000).contains("goodbye"));
            assertTrue(ask(at, "hello", 5000).contains("hello"));
            assertEquals(2, catalogue.connections());
            assertThrows(RequestTimeoutException.class, () -> ask(at, "silence", 50));
            assertEquals(Status.INVALID_PACKAGE, failure(at, "nonsense"));
            assertEquals(Status.INVALID_PARAMETER, failure(at, "unspeakable"));
            assertTrue(ask(at, "hello", 5000).contains("hello"));
            assertEquals(4, catalogue.connections());
        }
    }

    @Test
    void aShortConnectionIsForOneCall() throws Exception {
        try (Catalogue catalogue = new Catalogue("127.0.0.1", 0)) {
            for (int call = 1; call <= 3; call++) {
                byte[] request = Catalogue.frame("{\"q\":\"größe\"}");
                byte[] answer =
                        ServiceFactory.callMethod(
                                catalogue.address(), "ask", Catalogue::length, request, 5000);
                assertEquals(
                        new String(request, StandardCharsets.UTF_8),
                        new String(answer, StandardCharsets.UTF_8));
                assertEquals(call, catalogue.connections());
            }
        }
        assertEquals(Status.INVALID_ENDPOINT, failure("127.0.0.1:1@udp", "hello"));
        assertEquals(Status.NETWORK, failure("127.0.0.1:1", "hello"));
    }

    @Test
    void aPeerThatReadsNothingIsWaitedForAsLongAsItMayTake() throws Exception {
        byte[] request = new byte[32 << 20];
        // Connections wait in its backlog, and nobody accepts one.
        try (ServerSocket peer = new ServerSocket(0, 5, InetAddress.getByName("127.0.0.2"))) {
            String at = "127.0.0.2:" + peer.getLocalPort();
            RequestTimeoutException late =
                    assertThrows(
                            RequestTimeoutException.class,
                            () ->
                                    ServiceFactory.callMethod(
                                            at, "ask", Catalogue::length, request, 300));
            assertTrue(late.getMessage().contains("300 ms"), late.getMessage());
        }
    }

    @Test
    void connectionsToInstancesThatHaveGoneAreNotKeptForEver() throws Exception {
        long before = ThirdParty.idleNs;
        try (Catalogue goes = new Catalogue("127.0.0.2", 0);
                Catalogue stays = new Catalogue("127.0.0.2", 0)) {
            int kept = ThirdParty.keptCount();
            assertTrue(ask(goes.address(), "hello", 5000).contains("hello"));
            assertEquals(kept + 1, ThirdParty.keptCount());
            ThirdParty.idleNs = 0;
            assertTrue(ask(stays.address(), "hello", 5000).contains("hello"));
            // That one alone.
            assertEquals(1, ThirdParty.keptCount());
        } finally {
            ThirdParty.idleNs = before;
        }
    }

    /** An address where nobody listens, on an IP of its own. */
    private static String dead() throws Exception {
        try (ServerSocket socket = new ServerSocket(0)) {
            return "127.0.0.3:" + socket.getLocalPort();
        }
    }

    private static boolean isLeft() {
        String explained = org.msec.Route.explain(ServiceFactory.engine());
        return explained.contains("ejected") || explained.contains("half-open");
    }

    @Test
    void aDeadInstanceIsLeftByThirdPartyCalls() throws Exception {
        String name = "Library.catalogue";
        try (Catalogue catalogue = new Catalogue("127.0.0.2", 0)) {
            Shelf.routes(name, catalogue.address(), dead());
            // What could not be sent goes elsewhere, so no call fails.
            while (!isLeft()) {
                assertTrue(ask(name, "hello", 5000).contains("hello"));
            }
            assertEquals(Status.NO_ROUTE, failure("Library.nobody", "hello"));
        }
    }

    @Test
    void aDeadInstanceIsLeftByCallsOfServices() throws Exception {
        String name = "Library.branch";
        LendResponse lent = LendResponse.newBuilder().setStatus(3).build();
        try (Server server =
                Server.builder()
                        .raw(Shelf.LEND, (context, body) -> lent.toByteArray())
                        .listen("127.0.0.2:0")
                        .start(ServiceFactory.engine())) {
            Shelf.routes(name, server.addresses().get(0), dead());
            LendRequest request = LendRequest.newBuilder().setTitle("Faust").build();
            while (!isLeft()) {
                LendResponse none = LendResponse.getDefaultInstance();
                assertEquals(lent, ServiceFactory.callMethod(name, Shelf.LEND, request, none, 0));
            }
        }
    }

    @Test
    void whoCallsByHimselfIsToldWhereAndTellsWhatCameOfIt() throws Exception {
        String name = "Library.database";
        Shelf.routes(name, "127.0.0.2:3306", "127.0.0.3:3306");
        Route route = new Route();
        while (!isLeft()) {
            assertEquals(0, AccessLB.getroutebyname(name, route));
            assertEquals(3306, route.getPort());
            assertEquals(Route.COMM_TYPE.TCP, route.comm_type);
            int failed = route.getIp().equals("127.0.0.3") ? 1 : 0;
            AccessLB.updateroutebyname(name, route.ip, failed, 3);
        }
        MsecException none =
                assertThrows(
                        MsecException.class,
                        () -> AccessLB.getroutebyname("Library.nobody", route));
        assertEquals(Status.NO_ROUTE, none.status());
    }
}
