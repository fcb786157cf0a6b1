package org.msec.rpc;

import com.google.protobuf.MessageLite;
import java.net.InetSocketAddress;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.Map;
import org.msec.CallOptions;
import org.msec.Context;
import org.msec.Server;

/** The request that a thread serves. */
public final class RpcContext {
    private static final ThreadLocal<RpcContext> CURRENT = new ThreadLocal<>();

    private final Context context;
    private final MessageLite request;
    private final Map<String, String> options =
            Collections.synchronizedMap(new LinkedHashMap<>());
    private volatile boolean colored;

    RpcContext(Context context, MessageLite request) {
        this.context = context;
        this.request = request;
    }

    /**
     * The request that this thread serves.
     *
     * @return null if it serves none
     */
    public static RpcContext getCurrent() {
        return CURRENT.get();
    }

    static RpcContext enter(RpcContext context) {
        RpcContext before = CURRENT.get();
        CURRENT.set(context);
        return before;
    }

    static void leave(RpcContext before) {
        CURRENT.set(before);
    }

    /**
     * The request itself.
     *
     * @return the message
     */
    public MessageLite getRequest() {
        return request;
    }

    /**
     * Where it came from.
     *
     * @return null if it came by no IP, or is answered
     */
    public InetSocketAddress getClientAddr() {
        return Addresses.parse(context.peer());
    }

    /**
     * Where the service listens.
     *
     * @return null if it has no IP, or does not run any more
     */
    public InetSocketAddress getLocalAddr() {
        Server server = Module.the().server();
        return server == null ? null : Addresses.parse(server.addresses().get(0));
    }

    /**
     * Options of the log: fields of all further records of this request.
     *
     * @return the fields, to be changed
     */
    public Map<String, String> getLogOptions() {
        return options;
    }

    /** A record of it was colored: what it calls from now on is, too. */
    public void color() {
        colored = true;
    }

    /** Has a call take the color over; that of the request's head it takes over by itself. */
    static CallOptions colored(CallOptions call) {
        RpcContext current = CURRENT.get();
        return current != null && current.colored ? call.dyed() : call;
    }
}
