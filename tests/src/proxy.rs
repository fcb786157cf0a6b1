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
        Self::of(target, usize::MAX)
    }

    /// As [`Proxy::before`], but a connection is ended when so many bytes have gone to the target:
    /// in the way of TCP, in both directions.
    pub fn cutting_after(target: &str, bytes_max: usize) -> Self {
        Self::of(target, bytes_max)
    }

    fn of(target: &str, bytes_max: usize) -> Self {
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
                forward(pair(&near, &far), bytes_max);
                forward(pair(&far, &near), usize::MAX);
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

    /// The address from which the target was called for the oldest connection; once each.
    pub fn far_address(&self) -> String {
        let (_, far) = self.streams.recv_timeout(crate::PATIENCE).unwrap();
        far.local_addr().unwrap().to_string()
    }

    /// Ends the oldest connection in both directions, in the way of TCP: without a word of what
    /// goes over it. Returns the address that the target knew it by.
    pub fn cut(&self) -> String {
        let (near, far) = self.streams.recv_timeout(crate::PATIENCE).unwrap();
        let _ = near.shutdown(Shutdown::Both);
        let _ = far.shutdown(Shutdown::Both);
        far.local_addr().unwrap().to_string()
    }
}

fn forward((mut from, mut to): (TcpStream, TcpStream), bytes_max: usize) {
    std::thread::spawn(move || {
        let mut memory = [0; 64 * 1024];
        let mut left = bytes_max;
        while let Ok(count @ 1..) = from.read(&mut memory) {
            let count = count.min(left);
            left -= count;
            if to.write_all(&memory[..count]).is_err() {
                break;
            }
            if left == 0 {
                let _ = from.shutdown(Shutdown::Both);
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Write);
    });
}
