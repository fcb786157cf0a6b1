package org.msec;

import java.util.concurrent.atomic.AtomicBoolean;

/**
 * What this process knows of the {@code msec host} that has started it, if one has.
 *
 * <p>A program need not know of it. Started by {@code msec host}, the first server that it starts
 * is the one of the service: it listens with the sockets of the host, its pages and certificates
 * are those of config.ini, and so are the cores, the log and the name of the service. Started by
 * {@code java -jar}, the same program listens where {@link Server.Builder#listen} says.
 *
 * <p>When the host wants the process to end, the server hands its connections to the process that
 * comes next, or lets peers leave, and answers what it has; {@link Server#awaitStop} returns. Then
 * the program has two seconds to end by itself, and is ended after them by {@link System#exit}. A
 * SIGTERM to the process alone stops the server as well, before the JVM goes.
 */
public final class Host {
    /** How long a program has to end by itself. */
    private static final long END_MS = 2000;

    /** How long peers have to leave when the JVM is told to end, but not by the host. */
    private static final long SIGNAL_GRACE_MS = 5000;

    /** What the host tells, as numbered properties. */
    private static final String PROPERTY = "msec.worker.";

    private static final boolean PRESENT = System.getProperty(PROPERTY + 0) != null;
    private static final AtomicBoolean CLAIMED = new AtomicBoolean(!PRESENT);

    private static String conf;
    private static int worker;

    private Host() {}

    /**
     * Whether this process runs under {@code msec host}.
     *
     * @return whether it does
     */
    public static boolean isPresent() {
        return PRESENT;
    }

    /**
     * A value of config.ini, of the program's own sections above all.
     *
     * @param section the name in brackets above it
     * @param key its name
     * @param otherwise what holds where config.ini does not say it, or there is no host
     * @return the value
     * @throws MsecException -2 the native library cannot be loaded
     */
    public static String config(String section, String key, String otherwise) {
        if (!PRESENT) {
            return otherwise;
        }
        join();
        byte[] name = new Fields().text(section).text(key).array();
        Fields.Reader told = new Fields.Reader(Native.hostConfig(name));
        return told.isEmpty() ? otherwise : told.text();
    }

    /**
     * {@code [SRPC] conf}: a text for the program.
     *
     * @return the text; empty if there is none, or no host
     * @throws MsecException -2 the native library cannot be loaded
     */
    public static String conf() {
        join();
        return PRESENT ? conf : "";
    }

    /**
     * Which of the service's workers this is.
     *
     * @return from 0 on; 0 where there is no host
     * @throws MsecException -2 the native library cannot be loaded
     */
    public static int worker() {
        join();
        return PRESENT ? worker : 0;
    }

    /** Takes over what the host has given to this process, once, before there is an engine. */
    static synchronized void join() {
        NativeLibrary.require();
        if (!PRESENT || conf != null) {
            return;
        }
        Fields told = new Fields();
        for (int number = 0; System.getProperty(PROPERTY + number) != null; number++) {
            told.text(System.getProperty(PROPERTY + number));
        }
        Fields.Reader post = new Fields.Reader(Native.hostJoin(told.array()));
        String text = post.text();
        worker = (int) post.number();
        conf = text;
    }

    /** Whether the server that asks is the first one of this worker. */
    static boolean claim() {
        return CLAIMED.compareAndSet(false, true);
    }

    /** Has the server of this worker end when the host wants it. */
    static void serve(ServerCore core) {
        Thread end = new Thread(() -> core.stop(SIGNAL_GRACE_MS), "msec-end");
        Runtime.getRuntime().addShutdownHook(end);
        Runnable serve =
                () -> {
                    core.serveHost();
                    try {
                        Thread.sleep(END_MS);
                    } catch (InterruptedException error) {
                        // Somebody is in a hurry.
                    }
                    // It has not ended by itself: a thread is left that is no daemon.
                    System.exit(0);
                };
        Thread thread = new Thread(serve, "msec-host");
        thread.setDaemon(true);
        thread.start();
    }
}
