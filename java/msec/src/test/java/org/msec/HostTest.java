package org.msec;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** What there is without a host, and what comes before a server takes calls, with one or not. */
@Timeout(60)
class HostTest {
    private static final String METHOD = "a.B.Count";

    @Test
    void withoutAHostDefaultsHold() {
        assertFalse(Host.isPresent());
        assertEquals("else", Host.config("SRPC", "listen", "else"));
        assertEquals("", Host.conf());
        assertEquals(0, Host.worker());
    }

    @Test
    void methodsAreCalledBeforeOthersCanCallThem() {
        AtomicInteger calls = new AtomicInteger();
        Server.Builder warm =
                Server.builder()
                        .raw(METHOD, (context, body) -> new byte[] {(byte) calls.incrementAndGet()})
                        .warmUp(
                                client -> {
                                    for (int call = 0; call < 10; call++) {
                                        client.callRaw(METHOD, new byte[0], Stage.patient());
                                    }
                                });
        try (Engine engine = Engine.start(new Config().cores(1));
                Server server = warm.listen("127.0.0.1:0").start(engine);
                Client client = new Client(engine, server.addresses().get(0))) {
            assertEquals(10, calls.get());
            byte[] answer = client.callRaw(METHOD, new byte[0], Stage.patient()).body();
            assertEquals(11, answer[0]);
        }
    }

    @Test
    void aWarmUpThatFailsKeepsTheServerFromStarting() {
        IllegalStateException cold = new IllegalStateException("cold");
        Server.Builder failing =
                Server.builder()
                        .raw(METHOD, (context, body) -> body)
                        .warmUp(
                                client -> {
                                    throw cold;
                                })
                        .listen("127.0.0.1:0");
        try (Engine engine = Engine.start(new Config().cores(1))) {
            assertSame(cold, assertThrows(Exception.class, () -> failing.start(engine)));
        }
    }
}
