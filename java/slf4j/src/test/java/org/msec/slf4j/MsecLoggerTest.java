package org.msec.slf4j;

import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.msec.CallOptions;
import org.msec.Client;
import org.msec.Config;
import org.msec.Engine;
import org.msec.Log;
import org.msec.Server;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.slf4j.MDC;

@Timeout(60)
class MsecLoggerTest {
    private static final Logger LOGGER = LoggerFactory.getLogger("shop.Orders");

    @Test
    void recordsAreTheEnginesWithRequestAndContext(@TempDir Path folder) throws Exception {
        Config config = new Config().cores(1).service("Demo.slf4j");
        config.set("MSEC_LOG_FOLDER", folder.toString());
        try (Engine engine = Engine.start(config);
                Server server =
                        Server.builder()
                                .raw("a.B.C", (context, body) -> logged(body))
                                .listen("127.0.0.1:0")
                                .start(engine);
                Client client = new Client(engine, server.addresses().get(0))) {
            assertTrue(LOGGER.isInfoEnabled());
            assertFalse(LOGGER.isDebugEnabled());
            client.callRaw("a.B.C", new byte[0], patient());
            client.callRaw("a.B.C", new byte[0], patient().dyed());
            assertTrue(Log.flush(Duration.ofSeconds(20)));
        }
        List<String> lines = Files.readAllLines(folder.resolve("Demo.slf4j.log"));
        String line = lines.stream().filter(l -> l.contains("für 7")).findFirst().get();
        for (String part :
                List.of("WARN", "FileLine=shop.Orders", "tenant=blau", "RPCName=a.B.C", "boom")) {
            assertTrue(line.contains(part), part + " is missing: " + line);
        }
        long dyed = lines.stream().filter(l -> l.contains("only of dyed requests")).count();
        assertTrue(dyed == 1, dyed + " records");
    }

    private static CallOptions patient() {
        return new CallOptions().timeout(Duration.ofSeconds(20));
    }

    private static byte[] logged(byte[] body) {
        MDC.put("tenant", "blau");
        LOGGER.warn("geschrieben für {}", 7, new IllegalStateException("boom"));
        LOGGER.debug("only of dyed requests");
        MDC.clear();
        return body;
    }
}
