package shelf;

import api.log.msec.org.AccessLog;
import api.monitor.msec.org.AccessMonitor;
import com.google.protobuf.ByteString;
import com.google.protobuf.RpcController;
import com.google.protobuf.ServiceException;
import echo.Echo;
import java.util.HashMap;
import java.util.Map;
import org.msec.rpc.ServiceFactory;

/** The shelves: which book stands where. What is not here, the store may have. */
public class ServiceImpl implements Shelf.ShelfService.BlockingInterface {
    private static final int TIMEOUT_MS = 500;

    private final Map<String, String> places = new HashMap<String, String>();

    public ServiceImpl() {
        places.put("Emma", "A 3");
    }

    public Shelf.FindResponse find(RpcController controller, Shelf.FindRequest request)
            throws ServiceException {
        AccessLog.doLog(AccessLog.LOG_LEVEL_INFO, "somebody looks for " + request.getTitle());
        AccessMonitor.add("searched");
        try {
            note(request.getTitle());
            String place = places.get(request.getTitle());
            if (place == null) {
                return (Shelf.FindResponse)
                        ServiceFactory.callMethod(
                                "Library.store", "shelf.ShelfService.Find", request,
                                Shelf.FindResponse.getDefaultInstance(), TIMEOUT_MS);
            }
            return Shelf.FindResponse.newBuilder().setPlace(place).setCopies(1).build();
        } catch (Exception e) {
            throw new ServiceException(e.getMessage());
        }
    }

    private static void note(String title) throws Exception {
        Echo.EchoRequest request =
                Echo.EchoRequest.newBuilder().setMessage(ByteString.copyFromUtf8(title)).build();
        ServiceFactory.callMethod(
                "Demo.echo", "echo.EchoService.Echo", request,
                Echo.EchoResponse.getDefaultInstance(), TIMEOUT_MS);
    }

    public static void main(String[] args) throws Exception {
        ServiceFactory.initModule("Library.shelf");
        ServiceFactory.addService(
                "shelf.ShelfService", Shelf.ShelfService.BlockingInterface.class,
                new ServiceImpl());
        ServiceFactory.runService();
    }
}
