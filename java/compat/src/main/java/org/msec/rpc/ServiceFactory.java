package org.msec.rpc;

import com.google.protobuf.InvalidProtocolBufferException;
import com.google.protobuf.MessageLite;
import java.io.ByteArrayOutputStream;
import java.time.Duration;
import java.util.Map;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.atomic.AtomicLong;
import org.msec.CallOptions;
import org.msec.Engine;
import org.msec.Metrics;
import org.msec.MsecException;
import org.msec.Reply;
import org.msec.Server;
import org.msec.Status;

/**
 * The framework of the original: a module offers a service, and calls others.
 *
 * <pre>{@code
 * ServiceFactory.initModule("Library.shelf", ServiceFactory.SRPC_VERSION);
 * ServiceFactory.addService("library.Shelf", Shelf.BlockingInterface.class, new ServiceImpl());
 * ServiceFactory.runService();
 * }</pre>
 *
 * <p>Calls inherit deadline, flow id and color of the request that their thread serves, and how
 * they end feeds the routes. They throw what goes wrong, unchecked: nothing is told by null.
 */
public final class ServiceFactory {
    /** What sources that were written against 1.0.0 say that they need. */
    public static final int SRPC_VERSION = 10000;

    private static final AtomicLong SEQUENCE =
            new AtomicLong(ThreadLocalRandom.current().nextInt(Integer.MAX_VALUE));

    private ServiceFactory() {}

    /**
     * Says what this program is, and starts the engine.
     *
     * @param moduleName {@code L1.L2}, or whatever callees are to see as caller
     */
    public static void initModule(String moduleName) {
        initModule(moduleName, SRPC_VERSION);
    }

    /**
     * As {@link #initModule(String)}.
     *
     * @param moduleName {@code L1.L2}, or whatever callees are to see as caller
     * @param version {@link #SRPC_VERSION}
     * @throws IllegalArgumentException another version
     */
    public static void initModule(String moduleName, int version) {
        if (version != SRPC_VERSION) {
            throw new IllegalArgumentException(
                    "initModule: the program wants version " + version + " of the framework, and"
                            + " this is " + SRPC_VERSION);
        }
        Module.the().name(moduleName);
    }

    /**
     * What this program is.
     *
     * @return what {@link #initModule} was told; before that, {@code L1.L2} of the folder that it
     *     was started in, or {@code default.default}
     */
    public static String getModuleName() {
        return Module.the().name();
    }

    /**
     * A value of etc/config.ini.
     *
     * @param section the name in brackets above it
     * @param key its name
     * @return null if it is not there
     */
    public static String getConfig(String section, String key) {
        return Module.the().config().value(section, key);
    }

    /**
     * Adds a service to those that {@link #runService} offers.
     *
     * @param serviceName {@code package.Service}
     * @param type its {@code BlockingInterface}, of a file with {@code java_generic_services}
     * @param implementation serves it
     * @throws IllegalArgumentException the type is no such interface, or is not implemented
     */
    public static void addService(String serviceName, Class<?> type, Object implementation) {
        Module.the().add(new GenericService(serviceName, type, implementation));
    }

    /**
     * Offers the services where {@code [SRPC] listen} of etc/config.ini says, or at port 7963, and
     * returns when somebody has stopped that: the host, {@link #stopService}, or an interrupt.
     *
     * @throws MsecException -14 an address that is none; -2 a socket that cannot be opened
     */
    public static void runService() {
        Server server = Module.the().serve();
        try {
            server.awaitStop();
        } catch (InterruptedException interrupted) {
            Thread.currentThread().interrupt();
            server.close();
        } finally {
            Module.the().ended();
        }
    }

    /** Lets {@link #runService} return, once what is in flight is answered. */
    public static void stopService() {
        Module.the().stop();
    }

    /**
     * Whether a record of the log with these options is kept whatever its level.
     *
     * @param options names and values
     * @return whether one of them is a pair of {@code [COLOR]}
     */
    public static boolean isColored(Map<String, String> options) {
        Map<String, String> colors = Module.the().colors();
        return !colors.isEmpty()
                && options.entrySet().stream()
                        .anyMatch(one -> isPair(colors, one.getKey(), one.getValue()));
    }

    /**
     * The engine that all of this runs on, for code that goes on to use {@code org.msec}.
     *
     * @return it lives as long as the process: not to be closed
     */
    public static Engine engine() {
        return Module.the().engine();
    }

    /**
     * Calls a method and waits for its answer.
     *
     * @param moduleName the service, {@code L1.L2}, or an address
     * @param serviceMethodName {@code package.Service.Method}, as the .proto file spells it
     * @param request the request
     * @param responseInstance any answer of that kind
     * @param timeoutMillis how long to wait; 0 or less is a second
     * @return the answer
     * @throws RequestTimeoutException no answer has come in time
     * @throws MsecException anything else: -15 no route, -11 no connection, or what the callee says
     */
    public static MessageLite callMethod(
            String moduleName,
            String serviceMethodName,
            MessageLite request,
            MessageLite responseInstance,
            int timeoutMillis) {
        CallOptions options = RpcContext.colored(new CallOptions().caller(getModuleName()));
        if (timeoutMillis > 0) {
            options.timeout(Duration.ofMillis(timeoutMillis));
        }
        Watched watched = new Watched(moduleName, serviceMethodName, timeoutMillis);
        Reply reply =
                watched.call(
                        () ->
                                Module.the().call(
                                        moduleName,
                                        client ->
                                                client.callRaw(
                                                        serviceMethodName,
                                                        request.toByteArray(),
                                                        options)));
        try {
            return responseInstance.getParserForType().parseFrom(reply.body());
        } catch (InvalidProtocolBufferException error) {
            String text = "the answer of " + serviceMethodName + " is no such message";
            throw new MsecException(Status.INVALID_BODY, text, error);
        }
    }

    /**
     * Calls by a protocol of a third party, over a connection that is kept for the next call.
     *
     * @param moduleName the service, {@code L1.L2}, or an address
     * @param serviceMethodName what the call is counted under
     * @param codec writes the request, and finds the end of the answer
     * @param timeoutMillis how long to wait; 0 or less is a second
     * @return the answer as it came
     * @throws RequestTimeoutException no answer has come in time
     * @throws MsecException -1 the codec does not write the request; -3 it takes what came for no
     *     answer; -16 for the answer to another request; -15 no route; -11 no connection; -105
     *     the answer is too large
     */
    public static byte[] callMethod(
            String moduleName,
            String serviceMethodName,
            CustomPackageCodec codec,
            int timeoutMillis) {
        long sequence = SEQUENCE.incrementAndGet();
        ByteArrayOutputStream request = new ByteArrayOutputStream();
        int written = codec.encode(sequence, request);
        if (written != 0) {
            String text = "the codec of " + serviceMethodName + " does not write it: " + written;
            throw new MsecException(Status.INVALID_PARAMETER, text);
        }
        ThirdParty call = new ThirdParty(moduleName, codec, timeoutMillis, true);
        byte[] answer =
                new Watched(moduleName, serviceMethodName, timeoutMillis)
                        .call(() -> call.send(request.toByteArray(), sequence, codec));
        return answer;
    }

    /**
     * Calls by a protocol of a third party, over a connection for this call alone.
     *
     * @param moduleName the service, {@code L1.L2}, or an address
     * @param serviceMethodName what the call is counted under
     * @param checker finds the end of the answer
     * @param data the request
     * @param timeoutMillis how long to wait; 0 or less is a second
     * @return the answer as it came
     * @throws RequestTimeoutException no answer has come in time
     * @throws MsecException as {@link #callMethod(String, String, CustomPackageCodec, int)}
     */
    public static byte[] callMethod(
            String moduleName,
            String serviceMethodName,
            CustomPackageLengthChecker checker,
            byte[] data,
            int timeoutMillis) {
        ThirdParty call = new ThirdParty(moduleName, checker, timeoutMillis, false);
        return new Watched(moduleName, serviceMethodName, timeoutMillis)
                .call(() -> call.send(data, 0, null));
    }

    private static boolean isPair(Map<String, String> colors, String name, String value) {
        return value != null && value.equals(colors.get(name));
    }

    /** Counts a call as the original did, and tells that it was late as that did. */
    private record Watched(String module, String method, int timeoutMillis) {
        <R> R call(java.util.function.Supplier<R> call) {
            Metrics.add("frm.rpc call to " + module + "/" + method, 1);
            try {
                R answer = call.get();
                Metrics.add("frm.rpc route to " + module + " succ.", 1);
                Metrics.add("frm.rpc " + module + "/" + method + " got response", 1);
                return answer;
            } catch (MsecException error) {
                if (error.status() == Status.NO_ROUTE) {
                    Metrics.add("frm.rpc route to " + module + " failed", 1);
                }
                if (error.status() == Status.TIMEOUT) {
                    Metrics.add("frm.rpc " + module + "/" + method + " timeout", 1);
                    String text = "no answer of " + module + "/" + method + " within ";
                    int waited = timeoutMillis > 0 ? timeoutMillis : ThirdParty.TIMEOUT_MS;
                    throw new RequestTimeoutException(text + waited + " ms", error);
                }
                throw error;
            }
        }
    }
}
