package org.msec.examples.spring;

import com.google.protobuf.ByteString;
import org.msec.MsecException;
import org.msec.examples.echo.EchoRequest;
import org.msec.examples.echo.EchoServiceClient;
import org.springframework.http.HttpStatus;
import org.springframework.web.bind.annotation.ExceptionHandler;
import org.springframework.web.bind.annotation.GetMapping;
import org.springframework.web.bind.annotation.RequestParam;
import org.springframework.web.bind.annotation.ResponseStatus;
import org.springframework.web.bind.annotation.RestController;

/** HTTP in, a call of msec out. */
@RestController
class EchoController {
    private final EchoServiceClient echo;

    EchoController(EchoServiceClient echo) {
        this.echo = echo;
    }

    @GetMapping("/echo")
    String echo(@RequestParam String text) {
        EchoRequest request =
                EchoRequest.newBuilder().setMessage(ByteString.copyFromUtf8(text)).build();
        return echo.echo(request).getMessage().toStringUtf8();
    }

    @ExceptionHandler
    @ResponseStatus(HttpStatus.BAD_GATEWAY)
    String failed(MsecException error) {
        return error.getMessage();
    }
}
