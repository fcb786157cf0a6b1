//! The service LEVEL1.LEVEL2: `package_name 127.0.0.1:7963` serves there until SIGTERM or Ctrl-C.

use std::time::Duration;

mod package_name {
    include!(concat!(env!("OUT_DIR"), "/package_name.rs"));
}

struct Handlers;

impl package_name::ClassNameService for Handlers {
    // Called by several threads at a time. A call to another service looks as if it blocked here;
    // only this request waits.
    fn greet(
        &self,
        _: &msec::Context,
        request: package_name::GreetRequest,
    ) -> Result<package_name::GreetResponse, msec::Error> {
        if request.name.is_empty() {
            let text = "there is nobody to greet: the name is empty";
            return Err(msec::Error::new(msec::Code::INVALID_PARAMETER, text));
        }
        Ok(package_name::GreetResponse { text: format!("Hello, {}!", request.name) })
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1).unwrap_or("127.0.0.1:7963".into());
    // Before any thread is started, so that this one can wait for them.
    let signals = msec::process::block_signals()?;
    let engine = msec::Engine::with(msec::Config::from_env()?)?;
    let server = msec::Server::builder()
        .service(package_name::ClassNameServiceServer::new(Handlers))
        .listen(address)
        .start(&engine)?;
    println!("LEVEL1.LEVEL2 listens on {}", server.addresses().join(" and "));
    // Then callers have this long to leave.
    msec::process::serve_until_signal(signals, &server, Duration::from_secs(5))?;
    Ok(())
}
