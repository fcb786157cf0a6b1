//! What the engine leaves out of io_uring, measured: `SEND_ZC` against a plain send, and `MSG_RING`
//! against an eventfd. `docs/decisions/0006-left-out.md` says what follows from it.
//!
//! ```text
//!   send:  [sender, CPU 0: ring] ─ loopback ─► [reader, CPU 1: recv until it is told to end]
//!   wake:  [ring of one thread] ◄─ eventfd, or a message ─► [ring of the other]      and back
//! ```
//!
//! Rings are set up as the engine's. Each number is the median of several rounds, in which the two
//! ways take turns. CPU is that of the calling thread, so that other load on the machine disturbs
//! it little; times on the wall it does.
//!
//! `cargo run --release --example left_out`

use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd, RawFd};
use std::sync::mpsc;
use std::thread::JoinHandle;

use io_uring::{IoUring, cqueue, opcode, squeue, types};

const ROUNDS_COUNT: usize = 9;
/// Bytes that a round sends.
const ROUND_BYTES: usize = 256 << 20;
/// Round trips that a round makes.
const TRIPS_COUNT: usize = 20_000;

fn main() {
    println!("a send over loopback, one at a time        CPU ns   wall ns   CPU ns   wall ns");
    println!("  bytes                                        send      send       zc        zc");
    for kib in [16, 64, 256] {
        let mut stream = Stream::open(kib << 10);
        let (mut plain, mut zero_copy) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS_COUNT {
            plain.push(stream.round(false));
            zero_copy.push(stream.round(true));
        }
        let ((cpu, wall), (zc_cpu, zc_wall)) = (median(plain), median(zero_copy));
        println!("{:>4} KiB {cpu:>41} {wall:>9} {zc_cpu:>8} {zc_wall:>9}", kib);
        println!("         the kernel copied {} of {} zc sends", stream.copied, stream.zc_count);
    }
    println!("\na wake-up of a sleeping ring and back      CPU ns   wall ns");
    let (mut by_eventfd, mut by_message) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS_COUNT {
        by_eventfd.push(wake_round(Way::Eventfd));
        by_message.push(wake_round(Way::Message));
    }
    for (name, rounds) in [("eventfd", by_eventfd), ("MSG_RING", by_message)] {
        let (cpu, wall) = median(rounds);
        println!("{name:>10} {cpu:>38} {wall:>9}");
    }
}

/// CPU and wall time of one, in ns.
type Cost = (u64, u64);

fn median(costs: Vec<Cost>) -> Cost {
    let middle = |mut all: Vec<u64>| {
        all.sort_unstable();
        all[all.len() / 2]
    };
    let all = |of: fn(&Cost) -> u64| middle(costs.iter().map(of).collect());
    (all(|cost| cost.0), all(|cost| cost.1))
}

fn clock_ns(clock: libc::clockid_t) -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is writable, which is all that clock_gettime(2) asks for.
    unsafe { libc::clock_gettime(clock, &mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

fn pin(cpu: usize) {
    // SAFETY: the set is plain memory, made by its own macros, and outlives the call. Where it is
    // refused the thread runs anywhere.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(cpu, &mut set);
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &set);
    }
}

fn ring() -> IoUring {
    IoUring::builder()
        .setup_single_issuer()
        .setup_defer_taskrun()
        .setup_coop_taskrun()
        .build(64)
        .expect("a ring as the engine's")
}

fn submit(ring: &mut IoUring, entry: &squeue::Entry) {
    // SAFETY: what the entry points to outlives its completion, for which all callers wait.
    unsafe { ring.submission().push(entry) }.expect("the queue is empty");
}

/// A connection whose other end reads whatever comes.
struct Stream {
    ring: IoUring,
    stream: TcpStream,
    body: Vec<u8>,
    zc_count: u64,
    copied: u64,
    _reader: JoinHandle<()>,
}

impl Stream {
    fn open(bytes: usize) -> Self {
        pin(0);
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
        let stream = TcpStream::connect(listener.local_addr().expect("bound")).expect("loopback");
        let (mut other, _) = listener.accept().expect("it was connected");
        let reader = std::thread::spawn(move || {
            pin(1);
            let mut memory = vec![0; 1 << 20];
            while other.read(&mut memory).is_ok_and(|count| count > 0) {}
        });
        let body = vec![7; bytes];
        Self { ring: ring(), stream, body, zc_count: 0, copied: 0, _reader: reader }
    }

    fn round(&mut self, zero_copy: bool) -> Cost {
        let count = ROUND_BYTES / self.body.len();
        let (cpu, wall) =
            (clock_ns(libc::CLOCK_THREAD_CPUTIME_ID), clock_ns(libc::CLOCK_MONOTONIC));
        for _ in 0..count {
            match zero_copy {
                false => self.send(),
                true => self.send_zero_copy(),
            }
        }
        let each = |before, clock| (clock_ns(clock) - before) / count as u64;
        (each(cpu, libc::CLOCK_THREAD_CPUTIME_ID), each(wall, libc::CLOCK_MONOTONIC))
    }

    fn send(&mut self) {
        let (fd, bytes) = (types::Fd(self.stream.as_raw_fd()), self.body.len() as u32);
        let entry = opcode::Send::new(fd, self.body.as_ptr(), bytes).flags(libc::MSG_WAITALL);
        submit(&mut self.ring, &entry.build());
        self.ring.submit_and_wait(1).expect("the ring works");
        let sent = self.ring.completion().next().expect("it waited for one").result();
        assert_eq!(sent as usize, self.body.len());
    }

    /// Waits until the kernel needs the bytes no more, as whoever wants to use them again must.
    fn send_zero_copy(&mut self) {
        let (fd, bytes) = (types::Fd(self.stream.as_raw_fd()), self.body.len() as u32);
        // IORING_SEND_ZC_REPORT_USAGE: the notification says whether it was copied after all.
        let entry = opcode::SendZc::new(fd, self.body.as_ptr(), bytes)
            .flags(libc::MSG_WAITALL)
            .zc_flags(1 << 3);
        submit(&mut self.ring, &entry.build());
        self.zc_count += 1;
        let mut open_count = 1;
        while open_count > 0 {
            self.ring.submit_and_wait(1).expect("the ring works");
            for event in self.ring.completion() {
                if cqueue::notif(event.flags()) {
                    self.copied += u64::from(event.result() as u32 & 1 << 31 != 0);
                } else {
                    assert_eq!(event.result() as usize, self.body.len());
                }
                if !cqueue::more(event.flags()) {
                    open_count -= 1;
                }
            }
        }
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Way {
    Eventfd,
    Message,
}

/// One side of the ping-pong: its ring, and how the other one wakes it.
struct Side {
    ring: IoUring,
    way: Way,
    eventfd: RawFd,
    memory: Box<u64>,
}

/// What the other side needs to know.
#[derive(Clone, Copy)]
struct Bell {
    ring: RawFd,
    eventfd: RawFd,
}

impl Side {
    fn new(way: Way) -> Self {
        // SAFETY: takes no pointer.
        let eventfd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC) };
        assert!(eventfd >= 0);
        let mut side = Self { ring: ring(), way, eventfd, memory: Box::default() };
        side.listen();
        side
    }

    fn bell(&self) -> Bell {
        Bell { ring: self.ring.as_raw_fd(), eventfd: self.eventfd }
    }

    fn listen(&mut self) {
        if self.way == Way::Eventfd {
            let fd = types::Fd(self.eventfd);
            let memory = (&raw mut *self.memory).cast();
            submit(&mut self.ring, &opcode::Read::new(fd, memory, 8).build().user_data(1));
        }
    }

    fn wake(&mut self, other: Bell) {
        match self.way {
            Way::Eventfd => {
                let one = 1u64.to_ne_bytes();
                // SAFETY: eight readable bytes.
                unsafe { libc::write(other.eventfd, one.as_ptr().cast(), 8) };
            }
            Way::Message => {
                let entry = opcode::MsgRingData::new(types::Fd(other.ring), 0, 1, None);
                let entry = entry.build().user_data(2).flags(squeue::Flags::SKIP_SUCCESS);
                submit(&mut self.ring, &entry);
            }
        }
    }

    /// Sleeps until the other one wakes it.
    fn wait(&mut self) {
        let mut woken = false;
        while !woken {
            self.ring.submit_and_wait(1).expect("the ring works");
            for event in self.ring.completion() {
                assert!(event.result() >= 0, "{}", event.result());
                woken |= event.user_data() == 1;
            }
        }
        self.listen();
    }
}

impl Drop for Side {
    fn drop(&mut self) {
        // SAFETY: ours, and not used any more.
        unsafe { libc::close(self.eventfd) };
    }
}

/// There and back; CPU is that of both sides.
fn wake_round(way: Way) -> Cost {
    let (tell_bell, bells) = mpsc::channel();
    let (tell_ours, ours) = mpsc::channel::<Bell>();
    let (tell_end, end) = mpsc::channel::<()>();
    let other = std::thread::spawn(move || {
        pin(1);
        let mut side = Side::new(way);
        tell_bell.send(side.bell()).expect("somebody listens");
        let bell = ours.recv().expect("somebody tells");
        let cpu = clock_ns(libc::CLOCK_THREAD_CPUTIME_ID);
        for _ in 0..TRIPS_COUNT {
            side.wait();
            side.wake(bell);
        }
        side.ring.submit().expect("the ring works");
        let cpu = clock_ns(libc::CLOCK_THREAD_CPUTIME_ID) - cpu;
        // Nobody may ring a ring that is gone.
        let _ = end.recv();
        cpu
    });
    pin(0);
    let mut side = Side::new(way);
    let bell = bells.recv().expect("it tells");
    tell_ours.send(side.bell()).expect("it listens");
    let (cpu, wall) = (clock_ns(libc::CLOCK_THREAD_CPUTIME_ID), clock_ns(libc::CLOCK_MONOTONIC));
    for _ in 0..TRIPS_COUNT {
        side.wake(bell);
        side.wait();
    }
    let wall = clock_ns(libc::CLOCK_MONOTONIC) - wall;
    let cpu = clock_ns(libc::CLOCK_THREAD_CPUTIME_ID) - cpu;
    drop(tell_end);
    let others_cpu = other.join().expect("it does not panic");
    ((cpu + others_cpu) / TRIPS_COUNT as u64, wall / TRIPS_COUNT as u64)
}
