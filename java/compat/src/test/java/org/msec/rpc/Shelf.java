package org.msec.rpc;

import java.util.concurrent.locks.LockSupport;
import java.util.function.BooleanSupplier;
import library.ServiceImpl;
import org.msec.Route;

/** The service of the tests, which its own main() starts. */
final class Shelf implements AutoCloseable {
    static final String LEND = "library.ShelfService.Lend";
    static final String TITLES = "library.ShelfService.GetTitles";

    private final Thread main;

    Shelf() {
        main = new Thread(Shelf::run, "main-of-shelf");
        main.start();
        waitUntil("the service runs", () -> Module.the().server() != null);
        routes("Library.shelf", address());
    }

    private static void run() {
        try {
            ServiceImpl.main(new String[0]);
        } catch (Exception error) {
            throw new AssertionError(error);
        }
    }

    String address() {
        return Module.the().server().addresses().get(0);
    }

    /** A table of one service. */
    static void routes(String service, String... addresses) {
        StringBuilder table = new StringBuilder("[[service]]\nname = \"" + service + "\"\n");
        for (String address : addresses) {
            table.append("[[service.instance]]\naddress = \"" + address + "\"\n");
        }
        Route.set(ServiceFactory.engine(), table.toString());
    }

    static void waitUntil(String what, BooleanSupplier state) {
        long end = System.nanoTime() + 20_000_000_000L;
        while (!state.getAsBoolean()) {
            if (System.nanoTime() > end) {
                throw new AssertionError("never " + what);
            }
            // Others need the processor to get there.
            LockSupport.parkNanos(200_000);
        }
    }

    @Override
    public void close() {
        ServiceFactory.stopService();
        try {
            main.join(20_000);
        } catch (InterruptedException interrupted) {
            throw new AssertionError(interrupted);
        }
        if (main.isAlive()) {
            throw new AssertionError("runService does not return");
        }
    }
}
