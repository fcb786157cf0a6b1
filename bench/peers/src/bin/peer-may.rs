//! A bare echo on may: stackful coroutines over epoll, one worker thread.

use std::io::{Read, Write};

use may::net::{TcpListener, TcpStream};
use msec_bench_peers::{BUFFER_BYTES, listen_address};

fn main() -> std::io::Result<()> {
    may::config().set_workers(1);
    let listener = TcpListener::bind(listen_address())?;
    for stream in listener.incoming() {
        let stream = stream?;
        // SAFETY: `echo` touches no thread-local storage across a blocking call and keeps its
        // buffer on the heap, which are the two duties that may lays on whoever spawns a coroutine.
        unsafe {
            may::coroutine::spawn(move || {
                // A peer that went away is the end of its connection and nothing else.
                let _ = echo(stream);
            })
        };
    }
    Ok(())
}

fn echo(mut stream: TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let count = stream.read(&mut buffer)?;
        if count == 0 {
            return Ok(());
        }
        stream.write_all(&buffer[..count])?;
    }
}
