package api.lb.msec.org;

import api.lb.msec.org.Route.COMM_TYPE;
import java.time.Duration;
import org.msec.Engine;
import org.msec.MsecException;
import org.msec.Status;
import org.msec.rpc.ServiceFactory;

/**
 * The routes, for who calls an instance by a library of his own: which one is next, and what came
 * of it. Calls by {@link ServiceFactory} do both by themselves.
 */
public final class AccessLB {
    /** For sources that make one; all its methods are static. */
    public AccessLB() {}

    /**
     * The instance of a service that is to be called next.
     *
     * @param name {@code L1.L2}
     * @param route becomes where it is
     * @return 0
     * @throws MsecException -14 no name of a service, or the instance has no IP; -15 no such
     *     service, or no instance that may be called
     */
    public static int getroutebyname(String name, Route route) {
        String picked = org.msec.Route.pick(ServiceFactory.engine(), name);
        String place = picked.split("@", 2)[0];
        int colon = place.lastIndexOf(':');
        if (picked.startsWith("unix:")) {
            String text = picked + ", an instance of " + name + ", has no IP";
            throw new MsecException(Status.INVALID_ENDPOINT, text);
        }
        route.ip = place.substring(0, colon).replaceAll("[\\[\\]]", "");
        route.port = Integer.parseInt(place.substring(colon + 1));
        route.comm_type = picked.endsWith("@udp") ? COMM_TYPE.UDP : COMM_TYPE.TCP;
        return 0;
    }

    /**
     * Tells what came of a call. Of instances with one IP and several ports it is not known which
     * one is meant: it counts for all of them.
     *
     * @param name {@code L1.L2}
     * @param ip of the instance
     * @param failed 0 if an answer has come; else how many calls have failed
     * @param cost how long it took, in milliseconds
     * @return 0
     * @throws MsecException -14 no name of a service, or no IP
     */
    public static int updateroute(String name, String ip, int failed, long cost) {
        Engine engine = ServiceFactory.engine();
        Duration took = Duration.ofMillis(Math.max(0, cost));
        // What is not zero is a failure.
        org.msec.Route.report(engine, name, ip, failed < 0 ? 1 : failed, took);
        return 0;
    }

    /**
     * {@link #updateroute} by the name that the original's manual has for it.
     *
     * @param name {@code L1.L2}
     * @param ip of the instance
     * @param failed 0 if an answer has come; else how many calls have failed
     * @param cost how long it took, in milliseconds
     * @return 0
     */
    public static int updateroutebyname(String name, String ip, int failed, long cost) {
        return updateroute(name, ip, failed, cost);
    }
}
