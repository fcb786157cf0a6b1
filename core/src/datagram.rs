//! Calls over UDP: one connected socket a core and peer, one frame a datagram.
//!
//! A datagram may be lost, doubled, or come late; the deadline is all that ends a call then, and
//! the table of calls drops what finds nobody. Nothing is sent again: whether a call may run twice
//! is not known here. The first sequence is random, and the socket is connected, so that another
//! host cannot easily forge an answer.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use crate::append;
use msec_protocol::{Address, Calls, Code, frame, head, limits};
use msec_sys::output::Writer;
use msec_sys::ring::Op;
use msec_sys::socket::{self, Socket};

use crate::answer::Answer;
use crate::call::{self, Ask, Done};
use crate::client::dead;
use crate::closed::Closed;
use crate::error::{Error, Result};
use crate::method;
use crate::pool::socket_address;
use crate::shard::{Shard, Timer};
use crate::subject::Subject;
use crate::timer::TimerId;

/// Place in a core's table.
pub(crate) type DatagramId = usize;

struct Flying {
    done: Done,
    /// Set as soon as the call has its sequence.
    timer: Option<TimerId>,
    method: method::Name,
}

impl Flying {
    fn stop_timer(&self, shard: &Shard) {
        if let Some(timer) = self.timer {
            shard.timers.borrow_mut().cancel(timer);
        }
    }
}

/// Datagrams read in one go.
const DATAGRAMS_COUNT_MAX: usize = 128;

/// A peer that is called by datagrams.
pub(crate) struct DatagramPeer {
    id: Cell<DatagramId>,
    address: Address,
    /// Of its address in spans.
    number: u32,
    socket: Rc<Socket>,
    watch: Cell<Option<Op>>,
    calls: RefCell<Calls<Flying>>,
}

impl DatagramPeer {
    pub(crate) fn open(shard: &Rc<Shard>, address: &Address) -> Result<Rc<Self>> {
        let fd = socket::connect_datagram(&socket_address(address))
            .map_err(|error| Error::from_io(&format!("open a socket to {address}"), &error))?;
        let peer = Rc::new(Self {
            id: Cell::new(0),
            address: address.clone(),
            number: shard.reporter.address(&address.to_string()),
            socket: Socket::new(fd),
            watch: Cell::new(None),
            calls: RefCell::new(Calls::new(shard.random() as u32)),
        });
        let id = shard.peers.datagrams.borrow_mut().insert(peer.clone());
        peer.id.set(id);
        let token = Subject::DatagramPeer(id as u32).token();
        peer.watch.set(Some(shard.ring.borrow_mut().watch(&peer.socket, token)));
        Ok(peer)
    }

    pub(crate) fn id(&self) -> DatagramId {
        self.id.get()
    }

    pub(crate) fn begin(
        &self,
        shard: &Rc<Shard>,
        ask: &Ask<'_>,
        done: Done,
        write_body: impl FnOnce(&mut Writer<'_, '_>),
    ) -> Result<u64> {
        let flying = Flying { done, timer: None, method: method::intern(ask.method) };
        let begun = self.calls.borrow_mut().begin(flying);
        let sequence = begun.map_err(|_| {
            let text = format!("too many calls in flight to {}", self.address);
            Error::new(Code::OVERLOADED, text).while_calling(ask.method)
        })?;
        let timer = Timer::DatagramCall { peer: self.id(), sequence };
        let timer = shard.timers.borrow_mut().insert(ask.deadline_ns, timer);
        if let Some(flying) = self.calls.borrow_mut().get_mut(sequence) {
            flying.timer = Some(timer);
        }
        let sent = self.send(shard, ask, sequence, write_body);
        if sent.is_err() || ask.options.one_way {
            let flying = self.take(shard, sequence);
            if let (Ok(()), Some(flying)) = (&sent, flying) {
                flying.done.tell(shard, Ok(Answer::nothing()));
            }
        }
        sent.map(|()| sequence)
    }

    fn send(
        &self,
        shard: &Shard,
        ask: &Ask<'_>,
        sequence: u64,
        write_body: impl FnOnce(&mut Writer<'_, '_>),
    ) -> Result<()> {
        let mut output = shard.spares.output();
        let limits = &shard.shared.config.limits;
        let head = ask.head(shard, sequence);
        append::request_whole(&mut output, &head, limits, write_body)
            .map_err(|large| call::too_large(ask.method, large))?;
        let bytes = output.plain().unwrap_or_default();
        ask.calling.goes_to(self.number);
        ask.calling.request_bytes.set(bytes.len() as u32);
        if bytes.len() > limits::DATAGRAM_BYTES_MAX {
            let text = format!("a request of {} bytes does not fit into a datagram", bytes.len());
            return Err(Error::new(Code::TOO_LARGE, text).while_calling(ask.method));
        }
        // What the socket does not take now is lost, as the network may lose it; an ICMP error of
        // an earlier datagram is told here, and this one may well get through.
        let mut outcome = self.socket.send_now(bytes);
        if outcome.as_ref().is_err_and(|e| e.kind() == std::io::ErrorKind::ConnectionRefused) {
            outcome = self.socket.send_now(bytes);
        }
        shard.spares.give_output(output);
        match outcome {
            Ok(_) => Ok(()),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Ok(()),
            Err(error) => {
                let errno = error.raw_os_error().unwrap_or(0);
                let text = ask.method;
                Err(dead(&self.address, &Closed::Failed(errno), true, text))
            }
        }
    }

    fn take(&self, shard: &Shard, sequence: u64) -> Option<Flying> {
        let flying = self.calls.borrow_mut().cancel(sequence)?;
        flying.stop_timer(shard);
        Some(flying)
    }

    /// Datagrams came, or an error.
    pub(crate) fn ready(&self, shard: &Rc<Shard>) {
        let mut memory = vec![0; limits::DATAGRAM_BYTES_MAX];
        for _ in 0..DATAGRAMS_COUNT_MAX {
            match self.socket.recv_now(&mut memory) {
                Ok(length) => self.datagram(shard, &memory[..length]),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return,
                // Nobody listens there, or no way leads there (an ICMP message, which is told
                // once): the calls need not wait for their deadlines. Datagrams may follow.
                Err(error) => {
                    let errno = error.raw_os_error().unwrap_or(libc::EIO);
                    self.fail_all(shard, &Closed::Failed(errno));
                }
            }
        }
        // There may be more, and no edge will tell: look again after the others had their turn.
        let id = self.id();
        let again = move |shard: &Rc<Shard>| {
            let peer = shard.peers.datagrams.borrow().get(id).cloned();
            if let Some(peer) = peer {
                peer.ready(shard);
            }
        };
        shard.timers.borrow_mut().insert(shard.now_ns(), Timer::Run(Box::new(again)));
    }

    fn datagram(&self, shard: &Rc<Shard>, bytes: &[u8]) {
        let Ok(frame) = frame::datagram(bytes) else { return };
        let Ok(head) = head::decode_answer(frame.head()) else { return };
        let flying = self.calls.borrow_mut().handle_answer(head.sequence);
        if let Some(flying) = flying {
            flying.stop_timer(shard);
            flying.done.tell(shard, Ok(Answer::keep(head, frame, &shard.shared.config.limits)));
        }
    }

    pub(crate) fn fail_all(&self, shard: &Rc<Shard>, why: &Closed) {
        let calls: Vec<_> = self.calls.borrow_mut().handle_death().collect();
        for (_, flying) in calls {
            flying.stop_timer(shard);
            flying.done.tell(shard, Err(dead(&self.address, why, true, flying.method.text())));
        }
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.calls.borrow().len()
    }

    /// The deadline of a call has come.
    pub(crate) fn timed_out(&self, shard: &Rc<Shard>, sequence: u64) {
        let flying = self.calls.borrow_mut().handle_timeout(sequence);
        if let Some(flying) = flying {
            let code = self.calls.borrow().unanswered();
            let error = call::timed_out(&self.address, code, flying.method.text());
            flying.done.tell(shard, Err(error));
        }
    }

    /// Nobody waits for that call any more.
    ///
    /// False if it is over.
    pub(crate) fn cancel(&self, shard: &Shard, sequence: u64) -> bool {
        self.take(shard, sequence).is_some()
    }
}
