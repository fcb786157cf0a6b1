package org.msec.rpc;

import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.Function;
import org.msec.Client;
import org.msec.Config;
import org.msec.Engine;
import org.msec.Host;
import org.msec.Server;
import org.msec.Service;

/**
 * What a process of the original has once: its name, its configuration, its service. Here that is
 * an engine, which is started when it is first needed and lives as long as the process, and a
 * server for as long as the service runs.
 */
final class Module {
    private static final Module THE = new Module();

    /** The original had a thread for each request; virtual threads are as many. */
    private static final int HANDLER_THREADS = 256;

    /** Clients that are kept, by what they call. Beyond it one is made for each call. */
    private static final int CLIENTS_MAX = 1024;

    private final ConfigIni config = ConfigIni.around(Path.of(""));
    private final Map<String, String> colors = config.colors();
    private final Map<String, Client> clients = new ConcurrentHashMap<>();
    private final List<Service> services = new ArrayList<>();
    private volatile String name;
    private volatile Engine engine;
    private Server server;

    private Module() {}

    static Module the() {
        return THE;
    }

    ConfigIni config() {
        return config;
    }

    /** Options of the log whose records are kept whatever their level. */
    Map<String, String> colors() {
        return colors;
    }

    /** What the program calls itself; without that, what its folder says. */
    String name() {
        String given = name;
        return given == null ? config.service() : given;
    }

    void name(String given) {
        name = given;
        engine();
    }

    Engine engine() {
        Engine started = engine;
        return started == null ? start() : started;
    }

    private synchronized Engine start() {
        if (engine == null) {
            Config settings = config.engine().handlerThreads(HANDLER_THREADS);
            if (name().matches("[A-Za-z_-][\\w-]*\\.[\\w-]+")) {
                settings.service(name());
            }
            engine = Engine.start(settings);
        }
        return engine;
    }

    /** Calls with the client of a service or an address. */
    <R> R call(String target, Function<Client, R> call) {
        Client known = clients.get(target);
        if (known != null) {
            return call.apply(known);
        }
        if (clients.size() < CLIENTS_MAX) {
            return call.apply(
                    clients.computeIfAbsent(target, called -> new Client(engine(), called)));
        }
        try (Client once = new Client(engine(), target)) {
            return call.apply(once);
        }
    }

    synchronized void add(Service service) {
        services.add(service);
    }

    /** Starts what was added. */
    synchronized Server serve() {
        if (server != null) {
            throw new IllegalStateException("the service runs already");
        }
        if (services.isEmpty()) {
            throw new IllegalStateException("nothing to serve: call addService first");
        }
        Server.Builder builder = Server.builder();
        services.forEach(builder::service);
        if (!Host.isPresent()) {
            // It has sockets already, and forms of addresses that the original had not.
            config.listen().forEach(builder::listen);
        }
        server = builder.start(engine());
        return server;
    }

    /** Null while nothing is served. */
    synchronized Server server() {
        return server;
    }

    void stop() {
        Server running = server();
        if (running != null) {
            running.stop(Duration.ofSeconds(1));
        }
    }

    /** The service has ended; another one may be started. */
    synchronized void ended() {
        server = null;
        services.clear();
    }
}
