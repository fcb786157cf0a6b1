package library;

import api.log.msec.org.AccessLog;
import api.monitor.msec.org.AccessMonitor;
import com.google.protobuf.RpcController;
import com.google.protobuf.ServiceException;
import java.util.HashMap;
import java.util.Map;
import library.Msec.GetTitlesRequest;
import library.Msec.GetTitlesResponse;
import library.Msec.LendRequest;
import library.Msec.LendResponse;
import org.msec.rpc.RpcContext;
import org.msec.rpc.ServiceFactory;

/** A service as programs of the original have one: nothing in it knows of the new engine. */
public class ServiceImpl implements Msec.ShelfService.BlockingInterface {
    @Override
    public GetTitlesResponse getTitles(RpcController controller, GetTitlesRequest request)
            throws ServiceException {
        AccessMonitor.add("titles");
        AccessLog.doLog(AccessLog.LOG_LEVEL_DEBUG, "titles asked for: " + request.getType());
        GetTitlesResponse.Builder response = GetTitlesResponse.newBuilder();
        response.setStatus(0).setMsg("gefunden: " + request.getType());
        return response.addTitles("Das Schloß").addTitles("三国演义").build();
    }

    @Override
    public LendResponse lend(RpcController controller, LendRequest request)
            throws ServiceException {
        Map<String, String> options = new HashMap<>();
        options.put("title", request.getTitle());
        RpcContext.getCurrent().getLogOptions().put("uin", request.getFrom());
        AccessLog.doLog(AccessLog.LOG_LEVEL_DEBUG, options, "lending");
        switch (request.getTitle()) {
            case "":
                throw new ServiceException("kein \"Titel\"");
            case "lost":
                throw new IllegalStateException("the book is lost");
            case "reserved":
                controller.setFailed("reserved for another reader");
                return null;
            case "slow":
                pause(300);
                break;
            default:
                break;
        }
        LendResponse.Builder response = LendResponse.newBuilder().setStatus(0);
        if (request.getFrom().contains(":")) {
            // Another library has it.
            try {
                return (LendResponse)
                        ServiceFactory.callMethod(
                                request.getFrom(),
                                "library.ShelfService.Lend",
                                LendRequest.newBuilder().setTitle("far").setFrom("").build(),
                                LendResponse.getDefaultInstance(),
                                3000);
            } catch (Exception error) {
                throw new ServiceException("the other library: " + error.getMessage());
            }
        }
        return response.setDue(RpcContext.getCurrent().getClientAddr().getHostString()).build();
    }

    private static void pause(long milliseconds) {
        try {
            Thread.sleep(milliseconds);
        } catch (InterruptedException interrupted) {
            Thread.currentThread().interrupt();
        }
    }

    public static void main(String[] arguments) throws Exception {
        ServiceFactory.initModule("Library.shelf", 10000);
        ServiceFactory.addService(
                "library.ShelfService",
                Msec.ShelfService.BlockingInterface.class,
                new ServiceImpl());
        ServiceFactory.runService();
    }
}
