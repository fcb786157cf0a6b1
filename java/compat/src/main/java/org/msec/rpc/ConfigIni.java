package org.msec.rpc;

import java.io.IOException;
import java.net.Inet4Address;
import java.net.InetAddress;
import java.net.NetworkInterface;
import java.net.SocketException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.msec.Config;
import org.msec.Host;
import org.msec.MsecException;
import org.msec.Status;

/**
 * The configuration of the service that this process is, and its folder.
 *
 * <p>The folder is {@code L1/L2}, with {@code bin} and {@code etc} in it, in which the program was
 * started, or in some folder of it; config.ini is its {@code etc/config.ini}. Under {@code msec
 * host} the host has read that file, and is asked.
 */
final class ConfigIni {
    /** Pairs of [COLOR]. */
    private static final int COLORS_MAX = 1000;

    /** Keys that the engine is told by variables of the environment. */
    private static final String[][] VARIABLES = {
        {"MSEC_LOG", "LOG", "Level"},
        {"MSEC_LOG_FILES", "LOG", "FileMax"},
        {"MSEC_LOG_FILE_BYTES", "LOG", "FileSize"},
    };

    /** Null: there is none, or the host has it. */
    private final Path file;
    /** {@code L1.L2}; null where no folder says it. */
    private final String service;
    private final Map<String, String> values = new HashMap<>();

    private ConfigIni(Path file, String service) {
        this.file = file;
        this.service = service;
    }

    /**
     * Reads the configuration that belongs to a folder.
     *
     * @throws MsecException -2 the file is there and cannot be read
     */
    static ConfigIni around(Path folder) {
        Path inside = folder.toAbsolutePath().normalize();
        for (Path place = inside; place != null; place = place.getParent()) {
            boolean hasBin = Files.isDirectory(place.resolve("bin"));
            boolean hasEtc = Files.isDirectory(place.resolve("etc"));
            if (hasBin && hasEtc && place.getNameCount() >= 2) {
                Path first = place.getParent().getFileName();
                String service = first + "." + place.getFileName();
                return new ConfigIni(place.resolve("etc/config.ini"), service).read();
            }
        }
        return new ConfigIni(inside.resolve("etc/config.ini"), null).read();
    }

    private ConfigIni read() {
        if (Host.isPresent() || !Files.exists(file)) {
            return this;
        }
        String section = "";
        try {
            // Comments of old may be in any encoding.
            String whole = new String(Files.readAllBytes(file), StandardCharsets.UTF_8);
            for (String line : whole.split("\\R")) {
                String text = line.split("[#;]", 2)[0].strip();
                int equals = text.indexOf('=');
                if (text.startsWith("[") && text.endsWith("]")) {
                    section = text.substring(1, text.length() - 1).strip();
                } else if (equals > 0) {
                    String key = text.substring(0, equals).strip();
                    values.putIfAbsent(section + "\n" + key, text.substring(equals + 1).strip());
                }
            }
        } catch (IOException error) {
            throw new MsecException(Status.SYSTEM_ERROR, "cannot read " + file, error);
        }
        return this;
    }

    /** {@code L1.L2}; {@code default.default} where no folder says it, as the original has it. */
    String service() {
        return service == null ? "default.default" : service;
    }

    /** Null where it is not there or empty. */
    String value(String section, String key) {
        String value =
                Host.isPresent()
                        ? Host.config(section, key, null)
                        : values.get(section + "\n" + key);
        return value == null || value.isEmpty() ? null : value;
    }

    /** The pairs of [COLOR], up to the first number that is missing. */
    Map<String, String> colors() {
        Map<String, String> colors = new HashMap<>();
        for (int number = 0; number < COLORS_MAX; number++) {
            String name = value("COLOR", "FieldName" + number);
            String value = value("COLOR", "FieldValue" + number);
            if (name == null || value == null) {
                break;
            }
            colors.put(name, value);
        }
        return colors;
    }

    /** What an engine is to be like; what the environment says holds. */
    Config engine() {
        Config config = new Config();
        for (String[] known : VARIABLES) {
            String value = value(known[1], known[2]);
            if (value != null) {
                set(config, known[0], value.toLowerCase(java.util.Locale.ROOT));
            }
        }
        List<String> rules = new ArrayList<>();
        colors().forEach((name, value) -> rules.add(name + "=" + value));
        if (!rules.isEmpty()) {
            set(config, "MSEC_DYE", String.join("; ", rules));
        }
        return config;
    }

    private static void set(Config config, String name, String value) {
        if (System.getenv(name) == null) {
            config.set(name, value);
        }
    }

    /**
     * Where [SRPC] listen says that the service listens; port 7963 everywhere if it does not.
     *
     * @throws MsecException -14 it says what is no address, or an interface that there is not
     */
    List<String> listen() {
        String text = value("SRPC", "listen");
        List<String> addresses = new ArrayList<>();
        for (String entry : (text == null ? "all:7963/tcp" : text).split("\\s+")) {
            int slash = entry.lastIndexOf('/');
            int colon = entry.lastIndexOf(':');
            String transport = slash < 0 ? "tcp" : entry.substring(slash + 1);
            String port = entry.substring(colon + 1, slash < 0 ? entry.length() : slash);
            String at = colon < 0 ? "all" : entry.substring(0, colon);
            if (!port.matches("[0-9]+") || !transport.matches("tcp|udp")) {
                throw wrong(entry, "an entry is [interface:]port/tcp, or /udp");
            }
            addresses.add(host(entry, at) + ":" + port + (transport.equals("udp") ? "@udp" : ""));
        }
        return addresses;
    }

    private static String host(String entry, String at) {
        if (at.equals("all")) {
            return "0.0.0.0";
        }
        if (at.matches("[0-9.]+|\\[.*\\]")) {
            return at;
        }
        try {
            NetworkInterface found = NetworkInterface.getByName(at);
            for (InetAddress address : found == null ? List.<InetAddress>of() : list(found)) {
                if (address instanceof Inet4Address) {
                    return address.getHostAddress();
                }
            }
        } catch (SocketException error) {
            throw wrong(entry, "the interfaces cannot be read: " + error.getMessage());
        }
        throw wrong(entry, "there is no interface `" + at + "` with an IPv4 address");
    }

    private static List<InetAddress> list(NetworkInterface found) {
        return found.inetAddresses().toList();
    }

    private static MsecException wrong(String entry, String why) {
        String text = "[SRPC] listen has `" + entry + "`: " + why;
        return new MsecException(Status.INVALID_ENDPOINT, text);
    }
}
