package library;

import library.Msec.GetTitlesRequest;
import library.Msec.GetTitlesResponse;
import org.msec.rpc.ServiceFactory;

/** A caller as programs of the original have one. */
public class Client {
    public static GetTitlesResponse getTitles(String module, String method, String type)
            throws Exception {
        GetTitlesRequest request = GetTitlesRequest.newBuilder().setType(type).build();
        return (GetTitlesResponse)
                ServiceFactory.callMethod(
                        module, method, request, GetTitlesResponse.getDefaultInstance(), 10_000);
    }

    public static void main(String[] arguments) throws Exception {
        ServiceFactory.initModule("Library.reader");
        System.out.println(getTitles(arguments[0], "library.ShelfService.GetTitles", "Roman"));
    }
}
