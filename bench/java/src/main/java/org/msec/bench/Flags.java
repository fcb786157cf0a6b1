package org.msec.bench;

import org.msec.Host;

/** What a server of the bench is started with. */
final class Flags {
    String handlers = "poller";
    /** Null: where the host says. */
    String listen;
    /** Null: it answers by itself. */
    String to;
    int blocked;

    Flags(String[] arguments) {
        for (int index = 0; index + 1 < arguments.length; index += 2) {
            String value = arguments[index + 1];
            switch (arguments[index]) {
                case "--handlers" -> handlers = value;
                case "--listen" -> listen = value;
                case "--to" -> to = value;
                case "--blocked" -> blocked = Integer.parseInt(value);
                default -> throw new IllegalArgumentException("no flag " + arguments[index]);
            }
        }
        if (listen == null && !Host.isPresent()) {
            throw new IllegalArgumentException("--listen is missing");
        }
        if (!handlers.matches("poller|pool|virtual")) {
            throw new IllegalArgumentException("--handlers " + handlers);
        }
    }
}
