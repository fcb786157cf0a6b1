//! The table of operations under way, shared by both back ends.
//!
//! An operation is known to the outside, and to the kernel as `user_data`, by index and
//! generation. A slot is freed only when its operation is over, and freeing it changes the
//! generation: whoever still names the old operation finds nobody.

use std::io::IoSlice;
use std::rc::Rc;

use super::{Interest, Token};
use crate::output::Output;
use crate::socket::Socket;

/// Names an operation, also after it has ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Op {
    pub(super) index: u32,
    pub(super) generation: u32,
}

impl Op {
    pub(super) fn to_word(self) -> u64 {
        u64::from(self.generation) << 32 | u64::from(self.index)
    }

    pub(super) fn from_word(word: u64) -> Self {
        Self { index: word as u32, generation: (word >> 32) as u32 }
    }
}

/// How many events a readiness operation gives.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Shots {
    One,
    Many,
}

/// What is being done.
pub(super) enum Action {
    Accept,
    Recv,
    Send { output: Output, from: usize, gather: Option<Box<Gather>> },
    Poll { interest: Interest, shots: Shots },
}

/// What the kernel is told of a send in pieces; it points into the output beside it.
pub(super) struct Gather {
    pub(super) header: libc::msghdr,
    pieces: Vec<libc::iovec>,
}

/// Bytes of one send, which io_uring ends when all of them are sent: its end is what shows that a
/// slow reader makes progress, and a minute for this much is no slow reader any more.
pub(super) const SEND_BYTES_MAX: usize = 1 << 20;
/// Pieces handed to the kernel with one send.
const PIECES_COUNT_MAX: usize = 64;

impl Gather {
    /// Of what comes in `output` after its first `from` bytes, as far as one send goes.
    pub(super) fn of(output: &Output, from: usize) -> Box<Self> {
        let mut slices = [IoSlice::new(&[]); PIECES_COUNT_MAX];
        let count = output.slices(from, SEND_BYTES_MAX, &mut slices);
        let piece = |slice: &IoSlice<'_>| libc::iovec {
            iov_base: slice.as_ptr().cast_mut().cast(),
            iov_len: slice.len(),
        };
        let pieces: Vec<_> = slices[..count].iter().map(piece).collect();
        // SAFETY: all of its fields are numbers and pointers, which may be zero.
        let header = unsafe { std::mem::zeroed() };
        let mut gather = Box::new(Self { header, pieces });
        gather.header.msg_iov = gather.pieces.as_mut_ptr();
        gather.header.msg_iovlen = count;
        gather
    }
}

/// An operation under way.
pub(super) struct Slot {
    pub(super) action: Action,
    pub(super) token: Token,
    pub(super) socket: Rc<Socket>,
    /// The caller wants it to end: it is not started again.
    pub(super) cancelled: bool,
}

enum Entry {
    Used(Slot),
    /// The index of the next free entry.
    Free(u32),
}

const NONE: u32 = u32::MAX;

/// Operations by index and generation.
pub(super) struct Slots {
    entries: Vec<(u32, Entry)>,
    free: u32,
    used_count: usize,
}

impl Slots {
    pub(super) fn new() -> Self {
        Self { entries: Vec::new(), free: NONE, used_count: 0 }
    }

    pub(super) fn used_count(&self) -> usize {
        self.used_count
    }

    pub(super) fn insert(&mut self, action: Action, token: Token, socket: &Rc<Socket>) -> Op {
        let slot = Slot { action, token, socket: socket.clone(), cancelled: false };
        self.used_count += 1;
        if self.free == NONE {
            let index = u32::try_from(self.entries.len()).expect("descriptors bound operations");
            self.entries.push((0, Entry::Used(slot)));
            return Op { index, generation: 0 };
        }
        let index = self.free;
        let (generation, entry) = &mut self.entries[index as usize];
        match std::mem::replace(entry, Entry::Used(slot)) {
            Entry::Free(next) => self.free = next,
            Entry::Used(_) => unreachable!("the free list names free entries only"),
        }
        Op { index, generation: *generation }
    }

    #[inline]
    pub(super) fn find(&mut self, op: Op) -> Option<&mut Slot> {
        match self.entries.get_mut(op.index as usize) {
            Some((generation, Entry::Used(slot))) if *generation == op.generation => Some(slot),
            _ => None,
        }
    }

    #[inline]
    pub(super) fn remove(&mut self, op: Op) -> Option<Slot> {
        self.find(op)?;
        let (generation, entry) = &mut self.entries[op.index as usize];
        // The top values are left out: a back end uses them for words of its own.
        *generation = (*generation + 1) & 0x7fff_ffff;
        self.used_count -= 1;
        match std::mem::replace(entry, Entry::Free(self.free)) {
            Entry::Used(slot) => {
                self.free = op.index;
                Some(slot)
            }
            Entry::Free(_) => None,
        }
    }

    /// Every operation under way.
    pub(super) fn all(&self) -> impl Iterator<Item = Op> + '_ {
        self.entries.iter().enumerate().filter_map(|(index, (generation, entry))| match entry {
            Entry::Used(_) => Some(Op { index: index as u32, generation: *generation }),
            Entry::Free(_) => None,
        })
    }
}
