package org.msec;

import java.lang.ref.Cleaner;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.atomic.AtomicInteger;

/**
 * A running engine: core threads that do the I/O, and a poller, through which requests and results
 * come to Java. Servers and clients are put on it. Usable from every thread.
 *
 * <pre>{@code
 * try (Engine engine = Engine.start();
 *         Server server = Server.builder()
 *                 .service(new Echo())
 *                 .listen("0.0.0.0:7963")
 *                 .start(engine)) {
 *     server.awaitStop();
 * }
 * }</pre>
 *
 * <p>Core threads never run Java. An engine on which no server runs and no call waits, and that
 * nobody has any more, is closed by the collector, some time; close it.
 */
public final class Engine implements AutoCloseable {
    static final Cleaner CLEANER = Cleaner.create();
    private static final AtomicInteger NEXT = new AtomicInteger();

    private final Core core;
    private final Cleaner.Cleanable cleanable;

    private Engine(Core core) {
        this.core = core;
        this.cleanable = CLEANER.register(this, core::close);
    }

    /**
     * Starts an engine as the environment says ({@code MSEC_CORES}, {@code MSEC_IO}, …).
     *
     * @return the engine
     * @throws MsecException as {@link #start(Config)}
     */
    public static Engine start() {
        return start(new Config());
    }

    /**
     * Starts an engine.
     *
     * @param config what it is to be like
     * @return the engine
     * @throws MsecException -1 a setting makes no sense; -2 a file, a thread or the kernel's I/O
     *     could not be had, or there is no native library of this version
     */
    public static Engine start(Config config) {
        Host.join();
        Core core = new Core(Native.engineOpen(config.settings()), config.workers());
        try {
            core.startPoller("msec-poller-" + NEXT.getAndIncrement());
            core.requireOpen();
            return new Engine(core);
        } catch (Throwable error) {
            core.close();
            throw error;
        }
    }

    Core core() {
        return core;
    }

    /**
     * The configuration that is in force, as the page {@code /config} names it: it may come from
     * the program, from the environment, or be a default.
     *
     * @return names and values
     * @throws MsecException -2 the engine is closed
     */
    public Map<String, String> config() {
        core.requireOpen();
        Map<String, String> facts = new TreeMap<>();
        Fields.Reader fields = new Fields.Reader(Native.engineConfig(core.handle));
        while (!fields.isEmpty()) {
            String name = fields.text();
            facts.put(name, fields.text());
        }
        return facts;
    }

    /**
     * Stops the engine: its servers answer what they have, for up to a second each; calls under way
     * fail with -103; its clients are closed. Handlers that run are not interrupted. Again has no
     * effect.
     */
    @Override
    public void close() {
        cleanable.clean();
    }
}
