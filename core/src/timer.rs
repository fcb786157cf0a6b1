//! The timer wheel of one core thread: every deadline, sleep and idle limit is one entry here.
//!
//! There is one deadline a call, and nearly all of them are cancelled before they fire, so insert
//! and cancel must cost next to nothing while firing may cost a little more. A heap would pay
//! O(log n) for each call; the hierarchical wheel (Varghese and Lauck, "Hashed and hierarchical
//! timing wheels", SOSP 1987, scheme 7) pays a shift, a count of leading zeros and a list append.
//!
//! Time is cut into ticks of one millisecond, counted from the wheel's birth. Level 0 has a slot a
//! tick, level 1 a slot for 64 ticks, level 2 for 4096, and so on:
//!
//! ```text
//!            one slot     the whole level
//!  level 0      1 ms            64 ms     ▓░░▓░░░░░░…   ← a bit a slot says "not empty"
//!  level 1     64 ms           4.1 s      ░░▓░░░░░░░…
//!  level 2    4.1 s            4.4 min    ░░░░▓░░░░░…
//!  level 3    4.4 min          4.7 h      ░░░░░░░░░░…
//!  level 4    4.7 h             12 days   ░▓░░░░░░░░…
//! ```
//!
//! The slot of a tick is written in its bits, six a level. The level is that of the highest bit in
//! which the tick differs from the current one. From this follow the facts the code relies on:
//!
//! * Whatever is in a lower level is due before whatever is in a higher one, and within a level
//!   slots are due in turn. So the earliest slot is found by one look at a bitmap for each level,
//!   never by walking.
//! * A slot of level 0 holds one tick only and is fired whole. A slot of a higher level is
//!   *cascaded* when time reaches its first tick: its entries are placed again, and now land lower.
//!   An entry moves at most four times in its life, and only if it lives that long.
//! * At a level above 0 the slot of the current tick itself is always empty: it was cascaded when
//!   time entered it.
//!
//! The top level is a ring: a slot "behind" the current one is of the next turn. What lies further
//! away than 63 of its slots is put into the furthest one and placed again from there, by its true
//! deadline, so there is no longest timer.
//!
//! A timer never fires early: its deadline is rounded up to a tick and compared with the present
//! rounded down, hence it may be up to a tick late. Timers of one tick fire in the order in which
//! they were inserted (those beyond the range of the wheel excepted).
//!
//! Entries live in one vector and link to one another by index: 32 bytes and the payload each, no
//! allocation a timer, no pointer to follow but in the lists. A freed entry is used again first,
//! while it is still in the cache; an identity carries a generation, so a stale one finds nobody.
//! The vector does not shrink. A cascade is the known price of the scheme: a slot with a million
//! entries is placed again in one go, which takes some milliseconds, once.
//!
//! The wheel never reads a clock and never calls back while it is inconsistent: a payload is out of
//! the wheel before it is handed over.

use std::num::NonZeroU32;

/// The length of a tick, in nanoseconds: how late a timer may fire at most.
pub const TICK_NS: u64 = 1_000_000;

const LEVELS: usize = 5;
const SLOT_BITS: usize = 6;
const SLOTS: usize = 1 << SLOT_BITS;
const TOP: usize = LEVELS - 1;
/// How far ahead an entry may be placed: 63 slots of the top level. One more could fall into the
/// slot of the current tick, which must stay empty.
const SPAN_TICKS: u64 = ((SLOTS as u64) - 1) << (SLOT_BITS * TOP);
/// The end of a list of entries.
const NONE: u32 = u32::MAX;
/// The `slot` of an entry that is in no list but the free one.
const FREE: u16 = u16::MAX;

const _: () = assert!(LEVELS * SLOTS < FREE as usize);
const _: () = assert!(u64::BITS as usize == SLOTS, "an occupancy word has a bit for each slot");

/// Names one timer, from its insertion until it fires or is cancelled; afterwards it names nobody.
///
/// Eight bytes, as is an `Option` of it. A stale identity could name a newer timer only after its
/// entry was used another 2³² times.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TimerId {
    index: u32,
    generation: NonZeroU32,
}

/// The timers of one thread.
///
/// All times are nanoseconds of one monotonic clock.
#[derive(Debug)]
pub struct Wheel<T> {
    origin_ns: u64,
    /// The tick that time has reached: all slots that start before it have been emptied.
    current: u64,
    /// A bit for each slot of a level: set if and only if the slot's list is not empty.
    occupied: [u64; LEVELS],
    lists: [List; LEVELS * SLOTS],
    entries: Vec<Entry<T>>,
    /// The head of the list of free entries, linked by `next`.
    free: u32,
    count: usize,
}

#[derive(Debug, Clone, Copy)]
struct List {
    head: u32,
    tail: u32,
}

#[derive(Debug)]
struct Entry<T> {
    /// Present if and only if the entry is in a slot's list.
    payload: Option<T>,
    /// The true deadline, rounded up to a tick, even if the slot is an earlier one.
    tick: u64,
    next: u32,
    prev: u32,
    generation: NonZeroU32,
    slot: u16,
}

/// The slot that is due next, and the tick at which it is.
struct Due {
    level: usize,
    slot: usize,
    start: u64,
}

impl<T> Wheel<T> {
    /// Makes an empty wheel whose ticks are counted from `now_ns`.
    pub fn new(now_ns: u64) -> Self {
        Wheel {
            origin_ns: now_ns,
            current: 0,
            occupied: [0; LEVELS],
            lists: [List { head: NONE, tail: NONE }; LEVELS * SLOTS],
            entries: Vec::new(),
            free: NONE,
            count: 0,
        }
    }

    /// The number of timers that have neither fired nor been cancelled.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there is no timer at all.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Adds a timer that fires at the first [`advance`](Self::advance) at or up to a tick after
    /// `deadline_ns`. A deadline in the past is due at once.
    #[inline]
    pub fn insert(&mut self, deadline_ns: u64, payload: T) -> TimerId {
        let tick = deadline_ns.saturating_sub(self.origin_ns).div_ceil(TICK_NS);
        let index = self.allocate(tick, payload);
        self.place(index);
        self.count += 1;
        TimerId { index, generation: self.entries[index as usize].generation }
    }

    /// Takes a timer out before it fires; `None` if it has fired or was cancelled already.
    #[inline]
    pub fn cancel(&mut self, id: TimerId) -> Option<T> {
        let entry = self.entries.get(id.index as usize)?;
        if entry.generation != id.generation || entry.slot == FREE {
            return None;
        }
        self.remove(id.index)
    }

    /// Moves time to `now_ns` and hands over the payload of each timer that is due, earlier ticks
    /// first. Returns how many there were.
    ///
    /// `now_ns` before an earlier one counts as that one. If `fire` panics, the remaining timers
    /// stay and fire at the next call.
    pub fn advance(&mut self, now_ns: u64, mut fire: impl FnMut(T)) -> usize {
        let target = (now_ns.saturating_sub(self.origin_ns) / TICK_NS).max(self.current);
        let mut fired_count = 0;
        while let Some(due) = self.earliest().filter(|due| due.start <= target) {
            self.current = due.start;
            if due.level > 0 {
                self.cascade(due.level, due.slot);
                continue;
            }
            while self.lists[due.slot].head != NONE {
                let payload = self.remove(self.lists[due.slot].head);
                fired_count += 1;
                fire(payload.expect("an entry in a slot's list has a payload"));
            }
        }
        self.current = target;
        fired_count
    }

    /// When [`advance`](Self::advance) has something to do next; `None` if there is no timer.
    ///
    /// Never later than the first timer's due time. It may be earlier, when a slot of a higher
    /// level has to be cascaded first: advance then, and ask again.
    #[inline]
    pub fn next_deadline_ns(&self) -> Option<u64> {
        let due = self.earliest()?;
        Some(self.origin_ns.saturating_add(due.start.saturating_mul(TICK_NS)))
    }

    fn earliest(&self) -> Option<Due> {
        let level = self.occupied.iter().position(|&occupied| occupied != 0)?;
        let shift = SLOT_BITS * level;
        let position = self.current >> shift;
        let ahead = self.occupied[level].rotate_right((position % SLOTS as u64) as u32);
        let start_position = position + u64::from(ahead.trailing_zeros());
        let slot = (start_position % SLOTS as u64) as usize;
        // At level 0 the slot of the current tick may be due, and starts at it. Above, it is empty.
        Some(Due { level, slot, start: start_position << shift })
    }

    /// Empties a slot whose first tick is the current one; its entries land in other slots.
    fn cascade(&mut self, level: usize, slot: usize) {
        let list = &mut self.lists[level * SLOTS + slot];
        let mut index = list.head;
        *list = List { head: NONE, tail: NONE };
        self.occupied[level] &= !(1 << slot);
        while index != NONE {
            let next = self.entries[index as usize].next;
            self.place(index);
            index = next;
        }
    }

    /// Appends an entry that is in no list to the list of the slot of its tick.
    #[inline]
    fn place(&mut self, index: u32) {
        let entry = &mut self.entries[index as usize];
        let tick = entry.tick.clamp(self.current, self.current + SPAN_TICKS);
        let highest_bit = ((self.current ^ tick) | (SLOTS as u64 - 1)).ilog2() as usize;
        let level = (highest_bit / SLOT_BITS).min(TOP);
        let slot = (tick >> (SLOT_BITS * level)) as usize % SLOTS;
        let list = &mut self.lists[level * SLOTS + slot];
        let tail = list.tail;
        entry.slot = (level * SLOTS + slot) as u16;
        entry.next = NONE;
        entry.prev = tail;
        list.tail = index;
        if tail == NONE {
            list.head = index;
            self.occupied[level] |= 1 << slot;
        } else {
            self.entries[tail as usize].next = index;
        }
    }

    /// Unlinks an entry that is in a slot's list, and frees it.
    #[inline]
    fn remove(&mut self, index: u32) -> Option<T> {
        let entry = &mut self.entries[index as usize];
        let (next, prev, slot) = (entry.next, entry.prev, usize::from(entry.slot));
        let payload = entry.payload.take();
        entry.slot = FREE;
        entry.generation = entry.generation.checked_add(1).unwrap_or(NonZeroU32::MIN);
        entry.next = self.free;
        self.free = index;
        self.count -= 1;

        let list = &mut self.lists[slot];
        if prev == NONE {
            list.head = next;
        } else {
            self.entries[prev as usize].next = next;
        }
        if next == NONE {
            list.tail = prev;
        } else {
            self.entries[next as usize].prev = prev;
        }
        if list.head == NONE {
            self.occupied[slot / SLOTS] &= !(1 << (slot % SLOTS));
        }
        payload
    }

    #[inline]
    fn allocate(&mut self, tick: u64, payload: T) -> u32 {
        let index = self.free;
        if index == NONE {
            return self.append(tick, payload);
        }
        let entry = &mut self.entries[index as usize];
        self.free = entry.next;
        entry.tick = tick;
        entry.payload = Some(payload);
        index
    }

    #[cold]
    fn append(&mut self, tick: u64, payload: T) -> u32 {
        let index = u32::try_from(self.entries.len()).ok().filter(|&index| index != NONE);
        let index = index.expect("fewer than 2^32 - 1 timers: memory ends long before");
        self.entries.push(Entry {
            payload: Some(payload),
            tick,
            next: NONE,
            prev: NONE,
            generation: NonZeroU32::MIN,
            slot: FREE,
        });
        index
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    const MS: u64 = 1_000_000;
    const RANGE_MS: u64 = 1 << (SLOT_BITS * LEVELS);

    fn fired<T>(wheel: &mut Wheel<T>, now_ns: u64) -> Vec<T> {
        let mut payloads = Vec::new();
        let count = wheel.advance(now_ns, |payload| payloads.push(payload));
        assert_eq!(count, payloads.len());
        payloads
    }

    #[test]
    fn never_early_and_at_most_a_tick_late() {
        for origin_ns in [0, 7, 999_999, 123 * MS + 1] {
            for after_ns in [1, MS - 1, MS, MS + 1, 63 * MS, 64 * MS, 4096 * MS - 1, 300_000 * MS] {
                let deadline_ns = origin_ns + after_ns;
                let mut wheel = Wheel::new(origin_ns);
                wheel.insert(deadline_ns, ());
                assert!(fired(&mut wheel, deadline_ns - 1).is_empty(), "early: {after_ns}");
                assert_eq!(fired(&mut wheel, deadline_ns + MS - 1).len(), 1, "late: {after_ns}");
            }
        }
    }

    #[test]
    fn a_past_deadline_is_due_at_once() {
        let mut wheel = Wheel::new(500 * MS);
        assert!(fired(&mut wheel, 600 * MS).is_empty());
        wheel.insert(0, "before the birth of the wheel");
        wheel.insert(550 * MS, "before now");
        assert!(wheel.next_deadline_ns().is_some_and(|next_ns| next_ns <= 600 * MS));
        assert_eq!(fired(&mut wheel, 600 * MS), ["before the birth of the wheel", "before now"]);
    }

    #[test]
    fn one_tick_fires_in_the_order_of_insertion_even_after_cascades() {
        let mut wheel = Wheel::new(0);
        for (count, now_ms) in [0, 100_000, 299_000, 299_990].into_iter().enumerate() {
            assert!(fired(&mut wheel, now_ms * MS).is_empty());
            wheel.insert(300_000 * MS, count);
        }
        assert_eq!(fired(&mut wheel, 300_000 * MS), [0, 1, 2, 3]);
    }

    #[test]
    fn a_stale_identity_finds_nobody() {
        let mut wheel = Wheel::new(0);
        let first = wheel.insert(5 * MS, 1);
        assert_eq!(wheel.cancel(first), Some(1));
        assert_eq!(wheel.cancel(first), None);
        let second = wheel.insert(5 * MS, 2);
        assert_eq!(wheel.cancel(first), None, "the entry is reused, the identity is not");
        assert_eq!(fired(&mut wheel, 5 * MS), [2]);
        assert_eq!(wheel.cancel(second), None);
        assert!(wheel.is_empty() && wheel.next_deadline_ns().is_none());
    }

    #[test]
    fn deadlines_beyond_the_range_wait_for_their_time() {
        for start_ms in [0, RANGE_MS - 1, RANGE_MS / 2 + 12_345] {
            let mut wheel = Wheel::new(0);
            assert!(fired(&mut wheel, start_ms * MS).is_empty());
            let after_ms = [SPAN_TICKS - 1, SPAN_TICKS, SPAN_TICKS + 1, RANGE_MS, 5 * RANGE_MS + 3];
            for &ms in &after_ms {
                wheel.insert((start_ms + ms) * MS, ms);
            }
            wheel.insert(u64::MAX, u64::MAX);
            for &ms in &after_ms {
                let due_ns = (start_ms + ms) * MS;
                assert!(fired(&mut wheel, due_ns - 1).is_empty(), "early: {start_ms}+{ms}");
                assert_eq!(fired(&mut wheel, due_ns), [ms], "start {start_ms}");
            }
            assert_eq!(wheel.len(), 1, "the last one is 584 years away");
        }
    }

    #[test]
    fn following_next_deadline_finds_a_lone_timer_in_a_few_steps() {
        let mut wheel = Wheel::new(0);
        let deadline_ns = 12_345_678 * MS;
        wheel.insert(deadline_ns, ());
        let mut steps_count = 0;
        while let Some(next_ns) = wheel.next_deadline_ns() {
            assert!(next_ns <= deadline_ns);
            let fired_count = wheel.advance(next_ns, |()| ());
            assert_eq!(fired_count > 0, next_ns == deadline_ns);
            steps_count += 1;
        }
        assert!(steps_count <= LEVELS, "a wake-up for each level at most, not {steps_count}");
    }

    #[test]
    fn a_panicking_callback_loses_only_its_own_timer() {
        let mut wheel = Wheel::new(0);
        for number in 0..4 {
            wheel.insert(number * MS, number);
        }
        let panicking = std::panic::AssertUnwindSafe(|| {
            wheel.advance(10 * MS, |number| assert_ne!(number, 1, "on purpose"))
        });
        assert!(std::panic::catch_unwind(panicking).is_err());
        assert_eq!(fired(&mut wheel, 10 * MS), [2, 3]);
    }

    #[test]
    fn an_entry_is_small() {
        assert!(size_of::<Entry<(u32, u32)>>() <= 40);
        assert_eq!(size_of::<Option<TimerId>>(), 8);
    }

    #[derive(Debug, Clone)]
    enum Step {
        Insert { after_ns: i64 },
        Cancel { which: prop::sample::Index },
        Advance { by_ns: u64 },
        AdvanceToNext,
    }

    /// Spans of every size: each level, its edges, and beyond the range.
    fn span_ns() -> impl Strategy<Value = u64> {
        prop_oneof![
            0..3 * MS,
            0..200 * MS,
            (0u32..34, -2i64..=2, 0..MS)
                .prop_map(|(bits, off, ns)| { ((1i64 << bits) + off).max(0) as u64 * MS + ns }),
            (0u64..3 * RANGE_MS).prop_map(|ms| ms * MS),
        ]
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            5 => span_ns().prop_map(|ns| Step::Insert { after_ns: ns as i64 }),
            1 => span_ns().prop_map(|ns| Step::Insert { after_ns: -(ns as i64) }),
            3 => any::<prop::sample::Index>().prop_map(|which| Step::Cancel { which }),
            2 => span_ns().prop_map(|by_ns| Step::Advance { by_ns }),
            2 => Just(Step::AdvanceToNext),
        ]
    }

    /// The wheel, and the same in plain words: an ordered map from (tick, number) to identity.
    struct Checked {
        origin_ns: u64,
        now_ns: u64,
        wheel: Wheel<u64>,
        model: BTreeMap<(u64, u64), TimerId>,
        retired: Vec<TimerId>,
        number: u64,
        beyond_range: bool,
    }

    impl Checked {
        fn new(origin_ns: u64) -> Self {
            Checked {
                origin_ns,
                now_ns: origin_ns,
                wheel: Wheel::new(origin_ns),
                model: BTreeMap::new(),
                retired: Vec::new(),
                number: 0,
                beyond_range: false,
            }
        }

        fn now_tick(&self) -> u64 {
            (self.now_ns - self.origin_ns) / TICK_NS
        }

        fn insert(&mut self, after_ns: i64) {
            let deadline_ns = self.now_ns.saturating_add_signed(after_ns);
            let tick = deadline_ns.saturating_sub(self.origin_ns).div_ceil(TICK_NS);
            let tick = tick.max(self.now_tick());
            self.beyond_range |= tick > self.now_tick() + SPAN_TICKS;
            let id = self.wheel.insert(deadline_ns, self.number);
            self.model.insert((tick, self.number), id);
            self.number += 1;
        }

        fn cancel(&mut self, which: prop::sample::Index) {
            if self.model.is_empty() {
                return;
            }
            let keys: Vec<_> = self.model.keys().copied().collect();
            let (tick, number) = *which.get(&keys);
            let id = self.model.remove(&(tick, number)).expect("the key was just read");
            assert_eq!(self.wheel.cancel(id), Some(number));
            self.retired.push(id);
        }

        fn advance(&mut self, now_ns: u64) {
            self.now_ns = self.now_ns.max(now_ns);
            let later = self.model.split_off(&(self.now_tick() + 1, 0));
            let due = std::mem::replace(&mut self.model, later);
            let tick_of: BTreeMap<u64, u64> = due.keys().map(|&(tick, n)| (n, tick)).collect();
            let mut keys = Vec::new();
            for number in fired(&mut self.wheel, now_ns) {
                let tick = tick_of.get(&number).unwrap_or_else(|| panic!("{number} is not due"));
                keys.push((*tick, number));
            }
            assert_eq!(keys.len(), due.len(), "fired {keys:?} of {due:?}");
            assert!(keys.is_sorted_by_key(|key| key.0), "out of order: {keys:?}");
            assert!(self.beyond_range || keys.is_sorted(), "not first in, first out: {keys:?}");
            self.retired.extend(due.values());
        }

        fn check(&mut self) {
            assert_eq!(self.wheel.len(), self.model.len());
            let first = self.model.first_key_value();
            let first_ns = first.map(|((tick, _), _)| self.origin_ns + tick * TICK_NS);
            let next_ns = self.wheel.next_deadline_ns();
            assert_eq!(next_ns.is_some(), first_ns.is_some());
            assert!(next_ns <= first_ns, "{next_ns:?} is later than {first_ns:?}");
            for id in &self.retired {
                assert_eq!(self.wheel.cancel(*id), None, "{id:?} is retired");
            }
        }
    }

    proptest! {
        #[test]
        fn behaves_as_an_ordered_map(
            origin_ns in 0..10 * MS,
            steps in prop::collection::vec(step(), 1..150),
        ) {
            let mut checked = Checked::new(origin_ns);
            for step in steps {
                match step {
                    Step::Insert { after_ns } => checked.insert(after_ns),
                    Step::Cancel { which } => checked.cancel(which),
                    Step::Advance { by_ns } => checked.advance(checked.now_ns + by_ns),
                    Step::AdvanceToNext => {
                        if let Some(next_ns) = checked.wheel.next_deadline_ns() {
                            checked.advance(next_ns);
                        }
                    }
                }
                checked.check();
            }
            while let Some(next_ns) = checked.wheel.next_deadline_ns() {
                checked.advance(next_ns);
            }
            prop_assert!(checked.model.is_empty(), "never fired: {:?}", checked.model);
        }
    }
}
