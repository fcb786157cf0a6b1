import java.io.InputStream;
import java.lang.reflect.Field;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.Consumer;
import org.msec.CallOptions;
import org.msec.Client;
import org.msec.Context;
import org.msec.Engine;
import org.msec.Host;
import org.msec.Log;
import org.msec.Server;

/**
 * The program that the tests of {@code msec host} run in a JVM: an echo, and all that a service
 * should not do.
 *
 * <p>config.ini says how it behaves at its start: [TEST] init = throw, crash, block, return or
 * hurry. The file {@code build} in the jar tells which build it is.
 */
public final class Worker {
    private static final int WARM_CALLS = 300;

    private static final AtomicInteger echoes = new AtomicInteger();

    private Worker() {}

    public static void main(String[] arguments) throws Exception {
        begin(Host.config("TEST", "init", ""));
        String address = arguments.length > 0 ? arguments[0] : "127.0.0.1:0";
        try (Engine engine = Engine.start();
                Server server = described(engine).listen(address).start(engine)) {
            System.out.println("listening at " + server.addresses().get(0));
            server.awaitStop();
            System.out.println("the server has stopped");
        }
        if (Host.config("TEST", "end", "").equals("never")) {
            new Thread(Worker::forEver).start();
        }
    }

    private static void begin(String how) throws Exception {
        switch (how) {
            case "throw" -> throw new IllegalStateException("no database");
            case "crash" -> crash();
            case "block" -> forEver();
            case "return" -> System.exit(0);
            default -> {}
        }
    }

    private static Server.Builder described(Engine engine) throws Exception {
        String build;
        try (InputStream file = Worker.class.getResourceAsStream("/build")) {
            build = new String(file.readAllBytes(), StandardCharsets.UTF_8);
        }
        Server.Builder methods =
                Server.builder()
                        .raw("echo.EchoService.Echo", Worker::echo)
                        .raw("test.Worker.Build", (context, body) -> bytes(build))
                        .raw("test.Worker.Told", (context, body) -> bytes(told(engine)))
                        .raw("test.Worker.Slow", (context, body) -> slow())
                        .raw("test.Worker.Crash", (context, body) -> crash())
                        .raw("test.Worker.Exit", (context, body) -> exit());
        methods.methods(
                all -> all.addRaw("test.Worker.Hang", (context, body) -> hang()).nonBlocking());
        return Host.config("TEST", "init", "").equals("hurry") ? methods : methods.warmUp(warmUp());
    }

    private static byte[] echo(Context context, byte[] body) {
        echoes.incrementAndGet();
        return body;
    }

    private static Consumer<Client> warmUp() {
        CallOptions patient = new CallOptions().timeout(Duration.ofSeconds(30));
        return client -> {
            for (int call = 0; call < WARM_CALLS; call++) {
                client.callRaw("echo.EchoService.Echo", bytes("warm"), patient);
            }
            System.out.println("warm after " + echoes.get() + " calls");
        };
    }

    /** What it knows of its host. */
    private static String told(Engine engine) {
        Log.warn("told");
        return String.join(
                " ",
                Boolean.toString(Host.isPresent()),
                engine.config().get("service"),
                engine.config().get("cores"),
                Host.conf(),
                Integer.toString(Host.worker()),
                Host.config("TEST", "word", "none"));
    }

    private static byte[] slow() throws InterruptedException {
        Thread.sleep(300);
        return bytes("slow");
    }

    private static byte[] crash() throws Exception {
        Field field = Class.forName("sun.misc.Unsafe").getDeclaredField("theUnsafe");
        field.setAccessible(true);
        Object unsafe = field.get(null);
        unsafe.getClass().getMethod("putAddress", long.class, long.class).invoke(unsafe, 16L, 1L);
        return null;
    }

    private static byte[] exit() {
        Runtime.getRuntime().halt(7);
        return null;
    }

    /** On the poller: nothing is served any more. */
    private static byte[] hang() {
        forEver();
        return null;
    }

    private static void forEver() {
        while (true) {
            try {
                Thread.sleep(1000);
            } catch (InterruptedException error) {
                // It stays.
            }
        }
    }

    private static byte[] bytes(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }
}
