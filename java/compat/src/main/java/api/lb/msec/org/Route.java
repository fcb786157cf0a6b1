package api.lb.msec.org;

/** Where an instance of a service is, as {@link AccessLB} tells it. */
public class Route {
    /** How an instance is spoken to. */
    public enum COMM_TYPE {
        /** One datagram a message. */
        UDP,
        /** A stream. */
        TCP,
        /** Both. */
        ALL
    }

    /** Its IP. */
    public String ip;

    /** Its port. */
    public int port;

    /** How it is spoken to. */
    public COMM_TYPE comm_type = COMM_TYPE.ALL;

    /** Of nobody yet. */
    public Route() {}

    /**
     * Its IP.
     *
     * @return as {@code 10.0.0.1}
     */
    public String getIp() {
        return ip;
    }

    /**
     * Its port.
     *
     * @return 1 to 65535
     */
    public int getPort() {
        return port;
    }

    /**
     * How it is spoken to.
     *
     * @return by datagrams or a stream
     */
    public COMM_TYPE getComm_type() {
        return comm_type;
    }

    @Override
    public String toString() {
        return ip + ":" + port + " " + comm_type;
    }
}
