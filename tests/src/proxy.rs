//! Somebody on the way: forwards one connection byte by byte, and cuts it when told to.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::mpsc;

/// A proxy in front of one address. It forwards the connections made to it until it is dropped.
pub struct Proxy {
    address: String,
    streams: mpsc::Receiver<(TcpStream, TcpStream)>,
}

impl Proxy {
    /// A proxy in front of `target`, an `ip:port`.
    pub fn before(target: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (tell, streams) = mpsc::channel();
        let target = target.to_owned();
        std::thread::spawn(move || {
            for near in listener.incoming().map_while(Result::ok) {
                let far = TcpStream::connect(&target).unwrap();
                let pair = |near: &TcpStream, far: &TcpStream| {
                    (near.try_clone().unwrap(), far.try_clone().unwrap())
                };
                forward(pair(&near, &far));
                forward(pair(&far, &near));
                if tell.send((near, far)).is_err() {
                    return;
                }
            }
        });
        Self { address, streams }
    }

    /// Where it listens: `ip:port`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Ends the oldest connection in both directions, in the way of TCP: without a word of what
    /// goes over it. Returns the address that the target knew it by.
    pub fn cut(&self) -> String {
        let (near, far) = self.streams.recv_timeout(crate::PATIENCE).unwrap();
        let _ = near.shutdown(Shutdown::Write);
        let _ = far.shutdown(Shutdown::Write);
        far.local_addr().unwrap().to_string()
    }
}

fn forward((mut from, mut to): (TcpStream, TcpStream)) {
    std::thread::spawn(move || {
        let mut memory = [0; 64 * 1024];
        while let Ok(count @ 1..) = from.read(&mut memory) {
            if to.write_all(&memory[..count]).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Write);
    });
}
