//! TLS: a layer between a connection's bytes and the ring, by rustls on our own I/O.
//!
//! ```text
//!   ring ─ ciphertext ─► received ─► plaintext ─► cutter (SRPC, HTTP), raw
//!                          │ ▲
//!                        [ rustls ]   handshake, records, alerts; no socket, no thread
//!                          │ ▲
//!   ring ◄ ciphertext ─── seal ◄──── plaintext ◄─ output
//! ```
//!
//! Nothing of this layer does I/O: it is given what came and says what is to be sent, and
//! `connection/secure.rs` carries both. Requests that are written while a client still shakes hands
//! wait as plaintext, as they would wait for a connect.
//!
//! Output is sealed as it leaves, at most [`SEAL_BYTES_MAX`] at a time: a large answer neither lies
//! in memory twice nor holds up its core for the time that it takes to encrypt it whole.
//!
//! A connection ends with `close_notify` in both directions, before the end of TCP. A client whose
//! peer ends without it cannot know whether somebody has cut the stream, and calls that an error.
//!
//! What a peer can make us keep is bounded: rustls holds one record at most (RFC 8446 §5.2), and
//! during the handshake we count the bytes and watch the time.
//!
//! | file | what |
//! |---|---|
//! | `settings.rs` | what a program says: [`ServerTls`], [`ClientTls`] |
//! | `files.rs` | certificates and keys, read from files, and again when those change |
//! | `identity.rs` | who a peer is by its certificate |

mod files;
mod identity;
mod settings;

use std::cell::{Cell, OnceCell, RefCell};
use std::io::{BufRead, IoSlice, Write};
use std::sync::Arc;

use msec_protocol::Limits;
use msec_sys::output::Output;
use rustls::pki_types::ServerName;
use rustls::{AlertDescription, CertificateError, ClientConfig, Connection, ServerConfig};

use crate::closed::Closed;
use crate::shard::Shard;
use crate::spares::Spares;
use crate::timer::TimerId;

pub(crate) use files::{Accepts, Watch};
pub use identity::Identity;
pub use settings::{ClientTls, ServerTls};

/// Plaintext sealed in one go: about 100 µs of encryption.
const SEAL_BYTES_MAX: usize = 128 * 1024;
/// Pieces of plaintext sealed in one go.
const SEAL_PIECES_MAX: usize = 64;
/// The first byte of a TLS stream: a handshake record (RFC 8446 §5.1). No frame of SRPC and no
/// request of HTTP begins with it.
const HANDSHAKE: u8 = 0x16;

/// The TLS of one connection.
pub(crate) struct Tls {
    state: RefCell<State>,
    /// What we know of the peer by its certificate, once it is checked.
    identity: OnceCell<Arc<Identity>>,
    /// Both sides have agreed on keys.
    open: Cell<bool>,
    /// There is none: the peer spoke plainly, and may.
    plain: Cell<bool>,
    handshake_bytes: Cell<usize>,
    /// The peer has said that it sends no more.
    peer_closed: Cell<bool>,
    said_close: Cell<bool>,
    /// Plaintext that is being sealed, and how much of it is.
    sealing: RefCell<Output>,
    sealed_bytes: Cell<usize>,
    /// Bytes of it that are not.
    unsealed_bytes: Cell<usize>,
    timer: Cell<Option<TimerId>>,
}

enum State {
    /// Accepted, and nothing has come.
    Waiting(Arc<Accepts>),
    Running(Box<Connection>),
    /// Unusable: it broke, or there is none.
    Over,
}

/// What came of bytes.
#[derive(Default)]
pub(crate) struct News {
    /// Both sides are ready now.
    pub(crate) opened: bool,
    /// The peer has said that it sends no more.
    pub(crate) ended: bool,
    /// There is something to be sent.
    pub(crate) answers: bool,
}

impl Tls {
    fn new(state: State) -> Self {
        Self {
            state: RefCell::new(state),
            identity: OnceCell::new(),
            open: Cell::new(false),
            plain: Cell::new(false),
            handshake_bytes: Cell::new(0),
            peer_closed: Cell::new(false),
            said_close: Cell::new(false),
            sealing: RefCell::default(),
            sealed_bytes: Cell::new(0),
            unsealed_bytes: Cell::new(0),
            timer: Cell::new(None),
        }
    }

    /// Of a connection that was accepted: the peer begins.
    pub(crate) fn accept(accepts: Arc<Accepts>) -> Self {
        Self::new(State::Waiting(accepts))
    }

    /// Of a connection that we open: the first words wait to be sent.
    pub(crate) fn connect(
        config: Arc<ClientConfig>,
        name: ServerName<'static>,
    ) -> Result<Self, rustls::Error> {
        let mut client = rustls::ClientConnection::new(config, name)?;
        client.set_buffer_limit(None);
        Ok(Self::new(State::Running(Box::new(client.into()))))
    }

    /// Whether the peer speaks plainly, and may.
    #[inline]
    pub(crate) fn is_plain(&self) -> bool {
        self.plain.get()
    }

    /// Whether both sides are ready.
    pub(crate) fn is_open(&self) -> bool {
        self.open.get()
    }

    /// Whether the peer has said that it sends no more.
    pub(crate) fn peer_has_closed(&self) -> bool {
        self.peer_closed.get()
    }

    /// Plaintext that is neither sealed nor in the connection's output any more.
    pub(crate) fn unsealed_bytes(&self) -> usize {
        self.unsealed_bytes.get()
    }

    /// Who the peer is, if it has shown a certificate that was checked.
    pub(crate) fn identity(&self) -> Option<Arc<Identity>> {
        self.identity.get().cloned()
    }

    pub(crate) fn set_timer(&self, timer: TimerId) {
        self.timer.set(Some(timer));
    }

    /// The handshake is over, one way or the other.
    pub(crate) fn stop_timer(&self, shard: &Shard) {
        if let Some(timer) = self.timer.take() {
            shard.timers.borrow_mut().cancel(timer);
        }
    }

    /// Takes what came, and appends to `plain` what it says.
    pub(crate) fn received(
        &self,
        sealed: &[u8],
        plain: &mut Vec<u8>,
        limits: &Limits,
    ) -> Result<News, Closed> {
        let state = &mut *self.state.borrow_mut();
        if let State::Waiting(accepts) = state {
            if sealed.first() != Some(&HANDSHAKE) {
                if !accepts.plain {
                    return Err(Closed::NotTls);
                }
                *state = State::Over;
                self.plain.set(true);
                plain.extend_from_slice(sealed);
                return Ok(News { opened: true, ..News::default() });
            }
            *state = State::Running(Box::new(begin(accepts.config()).map_err(broken)?));
        }
        let State::Running(connection) = state else { return Ok(News::default()) };
        if !self.open.get() {
            // Of what comes now, part may be behind the handshake.
            let before = self.handshake_bytes.get();
            if before > limits.tls_handshake_bytes_max {
                return Err(Closed::Tls("its handshake is too long".into()));
            }
            self.handshake_bytes.set(before + sealed.len());
        }
        let mut news = News::default();
        let result = read(connection, sealed, plain, &mut news);
        news.answers = connection.wants_write();
        if let Err(error) = result {
            return Err(broken(error));
        }
        if news.ended {
            news.ended = !self.peer_closed.replace(true);
        }
        if !connection.is_handshaking() && !self.open.replace(true) {
            news.opened = true;
            let certificate = connection.peer_certificates().and_then(|chain| chain.first());
            if let Some(identity) = certificate.and_then(|der| Identity::of(der)) {
                let _ = self.identity.set(Arc::new(identity));
            }
        }
        Ok(news)
    }

    /// Takes plaintext out of `output`, as far as its time has come; returns what is to be sent.
    pub(crate) fn seal(&self, spares: &Spares, output: &RefCell<Output>) -> Output {
        let mut sealed = spares.output();
        // What is shared in an output may have a destructor that comes back here: outputs are
        // dropped with nothing borrowed.
        let mut plain = self.sealing.take();
        if plain.is_empty() && self.open.get() && !self.said_close.get() {
            plain = output.take();
        }
        let from = self.sealed_bytes.get();
        let mut done = from;
        if let State::Running(connection) = &mut *self.state.borrow_mut() {
            let mut slices = [IoSlice::new(&[]); SEAL_PIECES_MAX];
            let count = plain.slices(from, SEAL_BYTES_MAX, &mut slices);
            if count > 0 {
                // Without a limit it takes everything, and fails never.
                done += connection.writer().write_vectored(&slices[..count]).unwrap_or(0);
            }
            sealed.append(|bytes, _| drain(connection, bytes));
        }
        if done == plain.len() {
            spares.give_output(plain);
            (plain, done) = (Output::default(), 0);
        }
        self.sealed_bytes.set(done);
        self.unsealed_bytes.set(plain.len() - done);
        self.sealing.replace(plain);
        sealed
    }

    /// Says that we send no more; false if that was said, or there are no keys to say it by.
    pub(crate) fn say_close(&self) -> bool {
        if !self.open.get() || self.said_close.replace(true) {
            return false;
        }
        if let State::Running(connection) = &mut *self.state.borrow_mut() {
            connection.send_close_notify();
        }
        true
    }

    /// Whether we have said that we send no more.
    pub(crate) fn has_said_close(&self) -> bool {
        self.said_close.get()
    }

    /// What is still to be said on a connection that is closed at once: why, if it was the peer's
    /// fault, or that it is no accident.
    pub(crate) fn last_words(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        if self.unsealed_bytes.get() == 0 {
            self.say_close();
        }
        if let State::Running(connection) = &mut *self.state.borrow_mut() {
            drain(connection, &mut bytes);
        }
        bytes
    }

    /// The connection is dead.
    pub(crate) fn end(&self, shard: &Shard) {
        self.stop_timer(shard);
        self.unsealed_bytes.set(0);
        self.sealed_bytes.set(0);
        let plain = self.sealing.take();
        shard.spares.give_output(plain);
        self.state.replace(State::Over);
    }
}

fn begin(config: Arc<ServerConfig>) -> Result<Connection, rustls::Error> {
    let mut server = rustls::ServerConnection::new(config)?;
    server.set_buffer_limit(None);
    Ok(server.into())
}

fn read(
    connection: &mut Connection,
    mut sealed: &[u8],
    plain: &mut Vec<u8>,
    news: &mut News,
) -> Result<(), rustls::Error> {
    while !sealed.is_empty() {
        // It takes part of them at a time. What follows a `close_notify` it does not take.
        match connection.read_tls(&mut sealed) {
            Ok(0) => break,
            Ok(_) => {}
            Err(error) => return Err(rustls::Error::General(error.to_string())),
        }
        news.ended |= connection.process_new_packets()?.peer_has_closed();
        let mut reader = connection.reader();
        while let Ok(bytes) = reader.fill_buf()
            && !bytes.is_empty()
        {
            plain.extend_from_slice(bytes);
            let count = bytes.len();
            reader.consume(count);
        }
    }
    Ok(())
}

fn drain(connection: &mut Connection, bytes: &mut Vec<u8>) {
    while connection.wants_write() {
        // A vector takes everything.
        if connection.write_tls(bytes).is_err() {
            break;
        }
    }
}

/// Why a connection is closed, for those who have to find out what to do about it.
#[expect(clippy::wildcard_enum_match_arm, reason = "most of it is for nobody to act upon")]
fn broken(error: rustls::Error) -> Closed {
    Closed::Tls(match &error {
        rustls::Error::InvalidCertificate(bad) => match bad {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                "its certificate has expired".into()
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                "its certificate is not valid yet; maybe a clock is wrong".into()
            }
            CertificateError::UnknownIssuer => {
                "its certificate is of no CA that is trusted here".into()
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                format!("its certificate is for another name: {bad}")
            }
            _ => format!("its certificate is not accepted: {bad}"),
        },
        rustls::Error::NoCertificatesPresented => {
            "it shows no certificate, and one is demanded here".into()
        }
        rustls::Error::AlertReceived(alert) => refusal(*alert),
        _ => error.to_string(),
    })
}

#[expect(clippy::wildcard_enum_match_arm, reason = "most alerts are for nobody to act upon")]
fn refusal(alert: AlertDescription) -> String {
    let why = match alert {
        AlertDescription::CertificateRequired => "it demands a certificate of ours",
        AlertDescription::UnknownCA => "it does not trust the CA of our certificate",
        AlertDescription::CertificateExpired => "our certificate has expired",
        AlertDescription::BadCertificate => "it does not accept our certificate",
        _ => return format!("it refuses: {alert:?}"),
    };
    format!("it refuses: {why}")
}
