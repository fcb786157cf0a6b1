package org.msec;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** The same methods for whoever speaks HTTP and JSON. */
@Timeout(60)
class HttpTest {
    private static HttpResponse<String> post(Stage stage, String method, String body)
            throws Exception {
        URI uri = URI.create("http://" + stage.address() + "/trial.Trial/" + method);
        HttpRequest request =
                HttpRequest.newBuilder(uri)
                        .header("content-type", "application/json")
                        .POST(HttpRequest.BodyPublishers.ofString(body))
                        .build();
        HttpClient client = HttpClient.newHttpClient();
        return client.send(request, HttpResponse.BodyHandlers.ofString());
    }

    @Test
    void methodsAreCalledWithJson() throws Exception {
        try (Stage stage = new Stage()) {
            for (String method : new String[] {"Echo", "Quick"}) {
                HttpResponse<String> answer = post(stage, method, "{\"text\":\"grüße\"}");
                assertEquals(200, answer.statusCode(), answer.body());
                assertEquals("{\"text\":\"grüße\"}", answer.body());
            }
            HttpResponse<String> answer = post(stage, "Fail", "{\"text\":\"kaputt\"}");
            assertEquals(500, answer.statusCode(), answer.body());
            assertEquals(400, post(stage, "Echo", "{\"none\":1}").statusCode());
        }
    }
}
