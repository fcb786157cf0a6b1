package org.msec;

import java.util.LinkedHashMap;
import java.util.Map;

/**
 * What an engine is started with, beside the environment ({@code MSEC_CORES}, {@code MSEC_IO}, …),
 * which decides what is not set here. Under {@code msec host} it is the other way round: what its
 * config.ini says, the environment says, and that holds (see {@link Host}).
 *
 * <pre>{@code
 * Engine engine = Engine.start(new Config().service("Demo.web").cores(2));
 * }</pre>
 */
public final class Config {
    private final Map<String, String> settings = new LinkedHashMap<>();
    private int handlerThreads = 64;
    private int handlersWaiting = 1024;
    private boolean virtualThreads = true;

    /** Nothing set. */
    public Config() {}

    /**
     * A setting by the name that it has in the environment, with the value that it would have
     * there. What is wrong with it is told by {@link Engine#start(Config)}.
     *
     * @param name {@code MSEC_STALL_MS}, for one
     * @param value empty sets nothing
     * @return this
     */
    public Config set(String name, String value) {
        settings.put(name, value);
        return this;
    }

    /**
     * Core threads, which do the I/O and run no Java.
     *
     * @param count 1 to 255; without it the CPUs that the process may use
     * @return this
     */
    public Config cores(int count) {
        return set("MSEC_CORES", Integer.toString(count));
    }

    /**
     * The service that this program is or belongs to: what callees see as caller.
     *
     * @param name {@code First.second}
     * @return this
     */
    public Config service(String name) {
        return set("MSEC_SERVICE", name);
    }

    /**
     * A file of routes, followed while it changes.
     *
     * @param path the file
     * @return this
     */
    public Config routes(String path) {
        return set("MSEC_ROUTES", path);
    }

    /**
     * Whether blocking handlers run on virtual threads, one a request, where the JVM has them (from
     * 21 on); default yes. Otherwise they run on {@link #handlerThreads(int)} threads.
     *
     * @param on whether they do
     * @return this
     */
    public Config virtualThreads(boolean on) {
        virtualThreads = on;
        return this;
    }

    /**
     * Threads for blocking handlers where they do not run on virtual ones.
     *
     * @param count at least 1; default 64
     * @return this
     */
    public Config handlerThreads(int count) {
        if (count < 1) {
            throw new IllegalArgumentException("handler threads: at least 1, not " + count);
        }
        handlerThreads = count;
        return this;
    }

    /**
     * Requests that wait for one of those threads at most; more are answered with -101.
     *
     * @param count at least 1; default 1024
     * @return this
     */
    public Config handlersWaiting(int count) {
        if (count < 1) {
            throw new IllegalArgumentException("waiting handlers: at least 1, not " + count);
        }
        handlersWaiting = count;
        return this;
    }

    byte[] settings() {
        Fields fields = new Fields();
        settings.forEach(
                (name, value) -> {
                    // Cores and sockets go together, and the log is where the host looks for it.
                    if (!Host.isPresent() || System.getenv(name) == null) {
                        fields.text(name).text(value);
                    }
                });
        return fields.array();
    }

    Workers workers() {
        Workers virtual = virtualThreads ? Workers.virtual() : null;
        return virtual != null ? virtual : Workers.pool(handlerThreads, handlersWaiting);
    }
}
