package org.msec.rpc;

import java.net.InetSocketAddress;

/** Addresses as the engine writes them: {@code 10.0.0.1:7963}, {@code [::1]:7963@udp}. */
final class Addresses {
    private Addresses() {}

    /** Null if it has no IP. */
    static InetSocketAddress parse(String address) {
        String place = address.split("@", 2)[0];
        int colon = place.lastIndexOf(':');
        if (colon < 0 || !place.substring(colon + 1).matches("[0-9]{1,5}")) {
            return null;
        }
        String host = place.substring(0, colon).replaceAll("[\\[\\]]", "");
        // It is a number, which no name server is asked for.
        return new InetSocketAddress(host, Integer.parseInt(place.substring(colon + 1)));
    }
}
