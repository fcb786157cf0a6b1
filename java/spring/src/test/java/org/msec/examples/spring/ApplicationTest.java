package org.msec.examples.spring;

import static org.junit.jupiter.api.Assertions.assertEquals;

import com.google.protobuf.ByteString;
import java.time.Duration;
import org.junit.jupiter.api.Test;
import org.msec.CallOptions;
import org.msec.Engine;
import org.msec.examples.echo.EchoRequest;
import org.msec.examples.echo.EchoServiceClient;
import org.springframework.beans.factory.annotation.Autowired;
import org.springframework.beans.factory.annotation.Value;
import org.springframework.boot.test.context.SpringBootTest;
import org.springframework.boot.test.context.SpringBootTest.WebEnvironment;
import org.springframework.boot.test.web.client.TestRestTemplate;

/** The whole application, at a free port and at a socket in the file system. */
@SpringBootTest(
        webEnvironment = WebEnvironment.RANDOM_PORT,
        properties = "msec.listen=unix:${java.io.tmpdir}/msec-spring-${PID}.sock")
class ApplicationTest {
    @Autowired private TestRestTemplate http;

    @Value("${msec.listen}")
    private String address;

    @Test
    void theControllerCallsTheBean() {
        assertEquals("grüße", http.getForObject("/echo?text={text}", String.class, "grüße"));
    }

    @Test
    void theBeanIsCalledByOthers() {
        try (Engine engine = Engine.start();
                EchoServiceClient echo = new EchoServiceClient(engine, address)) {
            ByteString bytes = ByteString.copyFromUtf8("from elsewhere");
            EchoRequest request = EchoRequest.newBuilder().setMessage(bytes).build();
            CallOptions patient = new CallOptions().timeout(Duration.ofSeconds(20));
            assertEquals(bytes, echo.echo(request, patient).getMessage());
        }
    }
}
