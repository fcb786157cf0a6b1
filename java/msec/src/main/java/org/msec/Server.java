package org.msec;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Consumer;

/**
 * Methods on addresses. Handlers may block: each has a virtual thread of its own, or one of a
 * bounded number of threads where the JVM has none (see {@link Config}). Those that are {@link
 * NonBlocking} run on the poller.
 *
 * <p>A server serves until it or its engine is closed, also if nobody keeps it. Its threads are
 * daemons: the program ends when its own threads have, so {@link #awaitStop} is for the main one.
 */
public final class Server implements AutoCloseable {
    static final int CLOSE_GRACE_MS = 1000;

    private final ServerCore core;
    private final long handle;
    private final List<String> addresses = new ArrayList<>();
    private final List<String> adminAddresses = new ArrayList<>();

    private Server(ServerCore core) {
        this.core = core;
        this.handle = core.handle;
        Fields.Reader fields = new Fields.Reader(Native.serverAddresses(handle));
        for (long left = fields.number(); left > 0; left--) {
            addresses.add(fields.text());
        }
        while (!fields.isEmpty()) {
            adminAddresses.add(fields.text());
        }
    }

    /**
     * Begins to describe a server.
     *
     * @return a description of nothing
     */
    public static Builder builder() {
        return new Builder();
    }

    /** A server that is being described. One thread at a time. */
    public static final class Builder {
        private final Methods methods = new Methods();
        private final List<String> listen = new ArrayList<>();
        private final List<String> admin = new ArrayList<>();
        private final Fields quotas = new Fields();
        private int quotasCount;
        private String[] tls = {"", "", ""};
        /** Null: nothing is to be called. */
        private Consumer<Client> warmUp;

        private Builder() {}

        /**
         * Adds the methods of a service.
         *
         * @param service most often an implementation of a generated interface
         * @return this
         */
        public Builder service(Service service) {
            service.addTo(methods);
            return this;
        }

        /**
         * Adds the methods of an object that are marked with {@link Serves}.
         *
         * @param object any object
         * @return this
         * @throws IllegalArgumentException a method that cannot serve, or none at all
         */
        public Builder object(Object object) {
            methods.addObject(object);
            return this;
        }

        /**
         * Adds a method that takes and returns bytes.
         *
         * @param name {@code package.Service.Method}
         * @param handler serves it
         * @return this
         */
        public Builder raw(String name, Handler<byte[], byte[]> handler) {
            methods.addRaw(name, handler);
            return this;
        }

        /**
         * The methods that are there, to add to them or to set their options.
         *
         * @param change is given them
         * @return this
         */
        public Builder methods(Consumer<Methods> change) {
            change.accept(methods);
            return this;
        }

        /**
         * Listens at an address. Under {@code msec host} its config.ini says where, and this has no
         * effect on the first server that is started.
         *
         * @param address {@code ip:port}, {@code ip:port@tls}, {@code ip:port@udp} or {@code
         *     unix:/path}; port 0 takes a free one
         * @return this
         */
        public Builder listen(String address) {
            listen.add(address);
            return this;
        }

        /**
         * Serves the built-in pages at this address, and nowhere else.
         *
         * @param address {@code ip:port}
         * @return this
         */
        public Builder admin(String address) {
            admin.add(address);
            return this;
        }

        /**
         * Bounds the requests of a caller, by the name that it gives itself. More are answered with
         * -108.
         *
         * @param caller its name; empty: each caller that has no quota of its own
         * @param perSecond 1 to a million
         * @param burst so many at once
         * @return this
         */
        public Builder quota(String caller, int perSecond, int burst) {
            quotas.text(caller).number(perSecond).number(burst);
            quotasCount++;
            return this;
        }

        /**
         * Secures the addresses with {@code @tls}.
         *
         * @param certificate file of the certificate
         * @param key file of its private key
         * @param clientCa file of the CAs that clients are trusted by; empty: they show none
         * @return this
         */
        public Builder tls(String certificate, String key, String clientCa) {
            tls = new String[] {certificate, key, clientCa};
            return this;
        }

        /**
         * Has the methods called before others can call them, so that the first of those do not
         * wait for classes to be loaded and code to be compiled: some hundred calls of each method
         * that is called often, the first of which may take seconds. The methods are served by an
         * engine of its own meanwhile.
         *
         * @param calls makes the calls, by {@link Client#call} or by a generated client that is
         *     made of this one; what it throws, {@link #start} throws
         * @return this
         */
        public Builder warmUp(Consumer<Client> calls) {
            warmUp = calls;
            return this;
        }

        /**
         * Starts the server; when this returns it accepts connections.
         *
         * <p>Under {@code msec host} the first server of the process is the one of the service: it
         * listens with the sockets of the host, and ends when the host says so; see {@link Host}.
         *
         * @param engine the engine that it is on
         * @return the server
         * @throws MsecException -14 an address that is none; -1 a method that is described wrongly,
         *     or a certificate that is none; -2 a socket or a file that cannot be opened, or the
         *     engine is closed
         */
        public Server start(Engine engine) {
            engine.core().requireOpen();
            if (warmUp != null) {
                warmUp();
            }
            return start(engine, Host.claim());
        }

        private Server start(Engine engine, boolean isHosted) {
            Core core = engine.core();
            core.requireOpen();
            List<Methods.Method> list = methods.list.stream().map(Methods.Method::copy).toList();
            core.add(list);
            long handle;
            try {
                handle = Native.serverStart(core.handle, description(list, isHosted));
            } catch (Throwable error) {
                core.remove(list);
                throw error;
            }
            ServerCore started = new ServerCore(engine, handle, list);
            try {
                core.add(started);
                Server server = new Server(started);
                if (isHosted) {
                    Host.serve(started);
                }
                return server;
            } catch (Throwable error) {
                started.stop(0);
                throw error;
            }
        }

        private void warmUp() {
            Builder alone = new Builder().listen("127.0.0.1:0");
            alone.methods.list.addAll(methods.list);
            try (Engine own = Engine.start(new Config().cores(1));
                    Server server = alone.start(own, false);
                    Client client = new Client(own, server.addresses().get(0))) {
                warmUp.accept(client);
            }
        }

        /** As ffi-java/src/server.rs reads it. */
        private byte[] description(List<Methods.Method> list, boolean isHosted) {
            Fields fields = new Fields().number(isHosted ? 1 : 0).number(list.size());
            for (Methods.Method method : list) {
                fields.text(method.name).number(method.number).number(method.requestsMax);
                fields.number(method.adaptiveLimit ? 1 : 0);
            }
            if (methods.files.isEmpty()) {
                fields.number(0);
            } else {
                fields.number(1).bytes(methods.descriptorSet());
            }
            // The host has its own.
            List<String> none = List.of();
            List<String> listens = isHosted ? none : listen;
            List<String> admins = isHosted ? none : admin;
            fields.number(listens.size());
            listens.forEach(fields::text);
            fields.number(admins.size());
            admins.forEach(fields::text);
            fields.number(quotasCount).append(quotas);
            String[] secured = isHosted ? new String[] {"", "", ""} : tls;
            return fields.text(secured[0]).text(secured[1]).text(secured[2]).array();
        }
    }

    /**
     * The engine that it is on.
     *
     * @return the engine
     */
    public Engine engine() {
        return core.engine;
    }

    /**
     * Where it listens, in the order of {@link Builder#listen}, with the ports that were taken.
     *
     * @return addresses
     */
    public List<String> addresses() {
        return List.copyOf(addresses);
    }

    /**
     * Where its pages are, in the order of {@link Builder#admin}.
     *
     * @return addresses
     */
    public List<String> adminAddresses() {
        return List.copyOf(adminAddresses);
    }

    /**
     * Requests that are not answered yet.
     *
     * @return how many
     * @throws MsecException -2 the server is stopped
     */
    public int requestsInFlight() {
        return (int) Native.serverLoad(handle);
    }

    /**
     * Connections that are open.
     *
     * @return how many
     * @throws MsecException -2 the server is stopped
     */
    public int connections() {
        return (int) (Native.serverLoad(handle) >>> 32);
    }

    /**
     * Accepts no more connections and asks peers to leave; connections stay served.
     *
     * @throws MsecException -2 the server is stopped
     */
    public void drain() {
        Native.serverDrain(handle);
    }

    /**
     * Drains, gives peers time to leave, answers what is in flight, and closes. No call is lost.
     * Blocks meanwhile; must not be called on the poller. Again has no effect, but for waiting for
     * a thread that stops it at the moment.
     *
     * @param grace how long peers have to leave
     */
    public void stop(Duration grace) {
        core.stop(grace.toMillis());
    }

    /** Stops with a grace of a second. */
    @Override
    public void close() {
        stop(Duration.ofMillis(CLOSE_GRACE_MS));
    }

    /**
     * Waits until somebody has stopped the server, or its engine: for the main thread of a service.
     *
     * @throws InterruptedException the thread is interrupted
     */
    public void awaitStop() throws InterruptedException {
        core.awaitStop();
    }
}
