//! What README.md goes through: two services and somebody who calls them, in one program.

// Generated code pleases its generator, not the lints of this workspace.
#![allow(unreachable_pub, unused_qualifications)]

use std::time::Duration;

use msec::{CallOptions, Client, Code, Context, Engine, Error, Server};

mod shop {
    include!(concat!(env!("OUT_DIR"), "/shop.rs"));
}
use shop::*;

struct Shelves;

impl Stock for Shelves {
    fn count(&self, _: &Context, request: CountRequest) -> Result<CountResponse, Error> {
        match request.article.as_str() {
            "lamp" => Ok(CountResponse { pieces: 5 }),
            "chair" => Ok(CountResponse { pieces: 2 }),
            _ => Err(Error::new(Code::INVALID_PARAMETER, "no such article")),
        }
    }
}

struct Counter {
    stock: StockClient,
}

impl Shop for Counter {
    fn order(&self, context: &Context, request: OrderRequest) -> Result<OrderResponse, Error> {
        // Looks blocking, and only this coroutine waits. The call inherits the deadline of the
        // request; its error, if any, is passed on to our caller.
        let count = self.stock.count(&CountRequest { article: request.article })?;
        println!("the shop has {:?} ms left to answer", context.remaining_ms());
        match count.pieces.checked_sub(request.pieces) {
            Some(left) => Ok(OrderResponse { left }),
            None => Err(Error::failed(format!("only {} left", count.pieces))),
        }
    }
}

fn main() -> Result<(), Error> {
    let engine = Engine::start()?;
    let stock = Server::builder()
        .service(StockServer::new(Shelves))
        .listen("127.0.0.1:0")
        .start(&engine)?;
    let client = StockClient::new(Client::new(&engine, &stock.addresses()[0])?);
    let shop = Server::builder()
        .service(ShopServer::new(Counter { stock: client }))
        .listen("127.0.0.1:0")
        .start(&engine)?;
    buy(&ShopClient::new(Client::new(&engine, &shop.addresses()[0])?))?;

    // Callers have this long to leave. What is in flight is answered in any case.
    shop.stop(Duration::from_millis(100));
    stock.stop(Duration::from_millis(100));
    Ok(())
}

fn buy(shop: &ShopClient) -> Result<(), Error> {
    let lamps = |pieces| OrderRequest { article: "lamp".into(), pieces };

    // From a plain thread a call blocks the thread. It waits one second unless told otherwise.
    println!("{} lamps left", shop.order(&lamps(2))?.left);

    // 50 ms for everything: connecting, the shop, and whatever the shop calls.
    let options = CallOptions::new().timeout(Duration::from_millis(50));
    println!("{} lamps left", shop.order_with(&lamps(1), &options)?.left);

    // Several at a time: both calls are on their way before the first is waited for.
    let calls = [shop.order_start(&lamps(3), &options), shop.order_start(&lamps(4), &options)];
    for call in calls {
        println!("{} lamps left", call.wait()?.left);
    }

    // An error is a code, the same on the wire, and a sentence.
    if let Err(error) = shop.order(&lamps(100)) {
        println!("{error}");
        println!("{:?} {:?} retryable={}", error.code(), error.side(), error.retryable());
    }
    Ok(())
}
