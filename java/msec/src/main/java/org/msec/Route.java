package org.msec;

import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;

/** Where the instances of services are: the routes of an engine. */
public final class Route {
    private Route() {}

    /**
     * Reads a file of routes, which holds from the next call on.
     *
     * @param engine whose routes
     * @param path the file
     * @throws MsecException -1 a mistake in the file, with its line: the old table stays; -2 it
     *     cannot be read
     */
    public static void load(Engine engine, String path) {
        change(engine, Layout.ROUTE_LOAD, path);
    }

    /**
     * Replaces all routes with those of a text that a file of routes could have; when this returns,
     * every core has them.
     *
     * @param engine whose routes
     * @param routes the text
     * @throws MsecException -1 a mistake in the text, with its line: the old table stays
     */
    public static void set(Engine engine, String routes) {
        change(engine, Layout.ROUTE_SET, routes);
    }

    /**
     * As {@link #set}, for who watches a registry, which may be wrong: a service that would lose
     * more than half of its instances stays as it is until {@link #confirm}; the others change.
     *
     * @param engine whose routes
     * @param routes the text
     * @return the services that are held
     * @throws MsecException -1 a mistake in the text, with its line: the old table stays
     */
    public static List<String> push(Engine engine, String routes) {
        Fields.Reader fields = new Fields.Reader(change(engine, Layout.ROUTE_PUSH, routes));
        List<String> held = new ArrayList<>();
        while (!fields.isEmpty()) {
            held.add(fields.text());
        }
        return held;
    }

    /**
     * Lets come true what a push said of a service and what was held.
     *
     * @param engine whose routes
     * @param service {@code First.second}
     * @throws MsecException -1 nothing of that service is held
     */
    public static void confirm(Engine engine, String service) {
        change(engine, Layout.ROUTE_CONFIRM, service);
    }

    /**
     * All services that can be called by name, and why their calls go where they go.
     *
     * @param engine whose routes
     * @return the JSON of the page {@code /routes}
     */
    public static String explain(Engine engine) {
        byte[] json = change(engine, Layout.ROUTE_EXPLAIN, "");
        return new String(json, StandardCharsets.UTF_8);
    }

    /**
     * The instance of a service that is to be called next, for a call that is made by other means
     * than a {@link Client}, such as a database's library; an address is its own.
     *
     * <p>It may be called once, often or never: only what {@link #report} says counts. The thread
     * waits until a core has answered, which is within microseconds unless it is kept busy.
     *
     * @param engine whose routes
     * @param service {@code First.second}
     * @return where it is: {@code 10.0.0.1:7963}, {@code 10.0.0.1:7963@udp}, {@code unix:/run/a}
     * @throws MsecException -14 neither a service name nor an address; -15 no such service, or no
     *     instance that may be called
     */
    public static String pick(Engine engine, String service) {
        byte[] address = change(engine, Layout.ROUTE_PICK, service);
        return new String(address, StandardCharsets.UTF_8);
    }

    /**
     * Tells what came of calls that were made by other means. It counts as the ends of the engine's
     * own calls do. Never waits.
     *
     * @param engine whose routes
     * @param service {@code First.second}
     * @param instance the address that was picked, or a host without a port: all instances there
     * @param failures 0 an answer has come after {@code latency}; else so many calls have failed,
     *     of which 16 count
     * @param latency how long they took
     * @throws MsecException -1 a negative number of failures; -14 {@code service} is no service
     *     name and no address, or {@code instance} no address and no host
     */
    public static void report(
            Engine engine, String service, String instance, int failures, Duration latency) {
        engine.core().requireOpen();
        Fields fields = new Fields().text(service).text(instance).number(failures);
        byte[] report = fields.number(latency.toNanos()).array();
        Native.route(engine.core().handle, Layout.ROUTE_REPORT, report);
    }

    private static byte[] change(Engine engine, int kind, String text) {
        engine.core().requireOpen();
        return Native.route(engine.core().handle, kind, Fields.of(text));
    }
}
