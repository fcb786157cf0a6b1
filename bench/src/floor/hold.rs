//! The far end of the `parked` row: keeps every request until it is told to answer them.
//!
//! Standard input takes one word a line: `count` prints `held N`, the number of whole frames kept
//! so far; `release` sends every kept byte back, prints `released`, and from then on echoes at
//! once. A thread a connection: a relay reaches its next hop over few connections, and the cost of
//! this process is not measured.

use std::io::{self, BufRead, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};

const FRAME_EDGES_BYTES: usize = 10;

/// What the connections share with standard input.
#[derive(Default)]
struct Gate {
    state: Mutex<State>,
    opened: Condvar,
}

#[derive(Default)]
struct State {
    held: u64,
    open: bool,
}

/// Serves until standard input ends.
pub fn serve(listener: TcpListener) -> io::Result<()> {
    let gate = Arc::new(Gate::default());
    let shared = gate.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let gate = shared.clone();
            // A peer that went away is the end of its connection and nothing else.
            std::thread::spawn(move || keep(&gate, stream));
        }
    });
    for line in io::stdin().lock().lines() {
        let mut state = gate.state.lock().expect("no thread panics while it holds the state");
        match line?.as_str() {
            "count" => println!("held {}", state.held),
            "release" => {
                state.open = true;
                gate.opened.notify_all();
                println!("released");
            }
            other => eprintln!("floor hold knows count and release, not {other}"),
        }
    }
    Ok(())
}

/// Reads on one thread and answers on another, because reading must go on while the answers wait.
fn keep(gate: &Arc<Gate>, mut stream: TcpStream) -> io::Result<()> {
    let kept = Arc::new((Mutex::new((Vec::new(), false)), Condvar::new()));
    let writer = std::thread::spawn({
        let (gate, kept, stream) = (gate.clone(), kept.clone(), stream.try_clone()?);
        move || answer(&gate, &kept, stream)
    });
    let mut buffer = vec![0; 256 * 1024];
    let mut counter = Counter::default();
    loop {
        let count = stream.read(&mut buffer).unwrap_or(0);
        let frames = counter.feed(&buffer[..count]);
        let (bytes, more) = &*kept;
        let mut bytes = bytes.lock().expect("neither side panics while it holds the bytes");
        bytes.0.extend_from_slice(&buffer[..count]);
        bytes.1 = count == 0;
        more.notify_one();
        drop(bytes);
        gate.state.lock().expect("no thread panics while it holds the state").held += frames;
        if count == 0 {
            // The answers already owed are still sent; a failed send has nobody left to be told.
            let _ = writer.join();
            return Ok(());
        }
    }
}

type Kept = (Mutex<(Vec<u8>, bool)>, Condvar);

fn answer(gate: &Gate, kept: &Kept, mut stream: TcpStream) -> io::Result<()> {
    let mut state = gate.state.lock().expect("no thread panics while it holds the state");
    while !state.open {
        state = gate.opened.wait(state).expect("no thread panics while it holds the state");
    }
    drop(state);
    loop {
        let mut bytes = kept.0.lock().expect("neither side panics while it holds the bytes");
        while bytes.0.is_empty() && !bytes.1 {
            bytes = kept.1.wait(bytes).expect("neither side panics while it holds the bytes");
        }
        let (ready, ended) = (std::mem::take(&mut bytes.0), bytes.1);
        drop(bytes);
        stream.write_all(&ready)?;
        if ended {
            return Ok(());
        }
    }
}

/// Counts the SRPC frames that ended so far in a stream of bytes.
#[derive(Default)]
struct Counter {
    /// The first nine bytes of the frame that is being read.
    edge: Vec<u8>,
    /// Bytes still to come of a frame whose length is known.
    left: usize,
}

impl Counter {
    fn feed(&mut self, mut bytes: &[u8]) -> u64 {
        let mut frames = 0;
        while !bytes.is_empty() {
            if self.left == 0 {
                let taken = bytes.len().min(9 - self.edge.len());
                self.edge.extend_from_slice(&bytes[..taken]);
                bytes = &bytes[taken..];
                if self.edge.len() == 9 {
                    let length = |at: usize| {
                        let field = [0, 1, 2, 3].map(|offset| self.edge[at + offset]);
                        u32::from_be_bytes(field) as usize
                    };
                    self.left = length(1) + length(5) + FRAME_EDGES_BYTES - 9;
                    self.edge.clear();
                }
                continue;
            }
            let taken = bytes.len().min(self.left);
            bytes = &bytes[taken..];
            self.left -= taken;
            frames += u64::from(self.left == 0);
        }
        frames
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_counted_however_the_stream_is_cut() {
        let mut stream = Vec::new();
        for body in [0usize, 1, 300] {
            stream.push(b'(');
            stream.extend_from_slice(&7u32.to_be_bytes());
            stream.extend_from_slice(&(body as u32).to_be_bytes());
            stream.extend_from_slice(&vec![0x28; 7 + body]);
            stream.push(b')');
        }
        for cut in 1..stream.len() {
            let mut counter = Counter::default();
            let frames: u64 = stream.chunks(cut).map(|chunk| counter.feed(chunk)).sum();
            assert_eq!(frames, 3, "cut every {cut} bytes");
        }
    }
}
