//! HTTP with JSON by axum and serde_json on tokio's current-thread runtime: the echo service as a
//! Rust team would write it without an engine.

use axum::routing::post;
use axum::{Json, Router};
use msec_bench_peers::listen_address;
use serde::{Deserialize, Serialize};

/// What comes, and goes back. The message is text, as bytes are in JSON.
#[derive(Serialize, Deserialize)]
struct Echo {
    message: String,
}

async fn echo(Json(request): Json<Echo>) -> Json<Echo> {
    Json(request)
}

fn main() -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let routes = Router::new().route("/echo.EchoService/Echo", post(echo));
        let listener = tokio::net::TcpListener::bind(listen_address()).await?;
        // As every server of the bench has it; axum's default leaves Nagle on.
        let listener = axum::serve::ListenerExt::tap_io(listener, |stream| {
            let _ = stream.set_nodelay(true);
        });
        axum::serve(listener, routes).await
    })
}
