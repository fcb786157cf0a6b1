package package_name;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.msec.Engine;
import org.msec.MsecException;
import org.msec.Server;
import org.msec.Status;

/** The service at a free port, called as others call it. */
class ClassNameServerTest {
    private final Engine engine = Engine.start();
    private final Server server =
            Server.builder()
                    .service(new ClassNameServer("Hello"))
                    .listen("127.0.0.1:0")
                    .start(engine);
    private final ClassNameServiceClient client =
            new ClassNameServiceClient(engine, server.addresses().get(0));

    @AfterEach
    void close() {
        // With the server and the client.
        engine.close();
    }

    private String greet(String name) {
        return client.greet(GreetRequest.newBuilder().setName(name).build()).getText();
    }

    @Test
    void greetsByName() {
        assertEquals("Hello, world!", greet("world"));
    }

    @Test
    void greetsNobodyWithoutAName() {
        MsecException refused = assertThrows(MsecException.class, () -> greet(""));
        assertEquals(Status.INVALID_PARAMETER, refused.status());
    }
}
