package org.msec.rpc;

import com.google.protobuf.RpcCallback;
import com.google.protobuf.RpcController;
import org.msec.Context;

/** What a method of a generic service is given beside its request. */
final class Controller implements RpcController {
    private final Context context;
    private String failure;

    Controller(Context context) {
        this.context = context;
    }

    @Override
    public void reset() {
        failure = null;
    }

    @Override
    public boolean failed() {
        return failure != null;
    }

    @Override
    public String errorText() {
        return failure;
    }

    @Override
    public void startCancel() {
        throw new UnsupportedOperationException("a service cannot cancel its caller");
    }

    @Override
    public void setFailed(String reason) {
        failure = reason == null ? "" : reason;
    }

    @Override
    public boolean isCanceled() {
        return context.isCancelled();
    }

    @Override
    public void notifyOnCancel(RpcCallback<Object> callback) {
        throw new UnsupportedOperationException("ask isCanceled() from time to time");
    }
}
