@PACKAGE@import com.google.protobuf.RpcController;
import com.google.protobuf.ServiceException;
import org.msec.rpc.ServiceFactory;

/** The service @SERVICE@: what its methods do goes here. */
public class ServiceImpl implements @TYPE@ {
@METHODS@    public static void main(String[] arguments) throws Exception {
        ServiceFactory.initModule("@MODULE@", ServiceFactory.SRPC_VERSION);
        ServiceFactory.addService(
                "@SERVICE@",
                @TYPE@.class,
                new ServiceImpl());
        ServiceFactory.runService();
    }
}
