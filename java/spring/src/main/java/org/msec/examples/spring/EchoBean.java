package org.msec.examples.spring;

import org.msec.Context;
import org.msec.examples.echo.EchoRequest;
import org.msec.examples.echo.EchoResponse;
import org.msec.examples.echo.EchoService;
import org.springframework.stereotype.Component;

/** A bean that is a service: whatever Spring injects is there when it is called. */
@Component
class EchoBean implements EchoService {
    @Override
    public EchoResponse echo(Context context, EchoRequest request) {
        return EchoResponse.newBuilder().setMessage(request.getMessage()).build();
    }
}
