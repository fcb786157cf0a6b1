@PACKAGE@import org.msec.rpc.ServiceFactory;

/** Calls @SERVICE@.@RPC@ of a service or an address. */
public class Client {
    public static void main(String[] arguments) throws Exception {
        String target = arguments.length > 0 ? arguments[0] : "@MODULE@";
        ServiceFactory.initModule("@FIRST@.client", ServiceFactory.SRPC_VERSION);
        // The fields of the request go here.
        @REQUEST@ request = @REQUEST@.newBuilder().build();
        @RESPONSE@ response =
                (@RESPONSE@)
                        ServiceFactory.callMethod(
                                target,
                                "@SERVICE@.@RPC@",
                                request,
                                @RESPONSE@.getDefaultInstance(),
                                1000);
        System.out.println(response);
    }
}
