package package_name;

import org.msec.Context;
import org.msec.Engine;
import org.msec.Host;
import org.msec.MsecException;
import org.msec.Server;
import org.msec.Status;

/** The service LEVEL1.LEVEL2. */
public final class ClassNameServer implements ClassNameService {
    private final String greeting;

    ClassNameServer(String greeting) {
        this.greeting = greeting;
    }

    /** Called by several threads at a time; to block here costs only this request. */
    @Override
    public GreetResponse greet(Context context, GreetRequest request) {
        if (request.getName().isEmpty()) {
            String text = "there is nobody to greet: the name is empty";
            throw new MsecException(Status.INVALID_PARAMETER, text);
        }
        String text = greeting + ", " + request.getName() + "!";
        return GreetResponse.newBuilder().setText(text).build();
    }

    /** Serves until it is told to end: where etc/config.ini says, or by itself at an address. */
    public static void main(String[] arguments) throws Exception {
        ClassNameServer service = new ClassNameServer(Host.config("service", "greeting", "Hello"));
        String address = arguments.length > 0 ? arguments[0] : "127.0.0.1:7963";
        try (Engine engine = Engine.start();
                Server server = Server.builder().service(service).listen(address).start(engine)) {
            server.awaitStop();
        }
    }
}
