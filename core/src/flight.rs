//! Requests in flight: accepted from a connection of this core and not yet answered.
//!
//! One table a core. The requests of one connection are a doubly linked list through it, so that
//! an idle connection costs nothing, an answer finds its entry by index, and the death of a
//! connection finds all of its requests. A cancel frame walks the list of its connection, which
//! the limit of requests in flight bounds.
//!
//! A place keeps the flag of its last request. Contexts are pooled and go round as places do, so
//! that the next request there most often has the very same flag, and its count of owners, which
//! is atomic, stays as it is.
//!
//! Two requests of one connection may carry the same sequence, against the rules: both are
//! answered, and a cancel means both. Refusing the second would cost every honest request a
//! look-up.

use std::sync::Arc;

use crate::cancel::Cancel;

/// The end of a list.
pub(crate) const NONE: u32 = u32::MAX;

struct Flight {
    is_live: bool,
    sequence: u64,
    cancel: Arc<Cancel>,
    previous: u32,
    /// In the list of its connection, or in that of free places.
    next: u32,
}

/// The requests in flight of a core's connections.
pub(crate) struct Flights {
    entries: Vec<Flight>,
    /// The place that became free last.
    free: u32,
    count: usize,
}

impl Default for Flights {
    fn default() -> Self {
        Self { entries: Vec::new(), free: NONE, count: 0 }
    }
}

impl Flights {
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// Puts a request at the front of the list that starts at `first`; returns its place, which is
    /// the new start.
    #[inline]
    pub(crate) fn insert(&mut self, first: u32, sequence: u64, cancel: &Arc<Cancel>) -> u32 {
        let place = self.take_place(sequence, cancel, first);
        if let Some(next) = self.entries.get_mut(first as usize) {
            next.previous = place;
        }
        self.count += 1;
        place
    }

    #[inline]
    fn take_place(&mut self, sequence: u64, cancel: &Arc<Cancel>, next: u32) -> u32 {
        let place = self.free;
        if let Some(flight) = self.entries.get_mut(place as usize) {
            self.free = flight.next;
            if !Arc::ptr_eq(&flight.cancel, cancel) {
                flight.cancel = cancel.clone();
            }
            (flight.is_live, flight.sequence) = (true, sequence);
            (flight.previous, flight.next) = (NONE, next);
            return place;
        }
        let cancel = cancel.clone();
        self.entries.push(Flight { is_live: true, sequence, cancel, previous: NONE, next });
        self.entries.len() as u32 - 1
    }

    /// Frees a place; returns those before and after it in its list.
    #[inline]
    fn free(&mut self, place: u32) -> Option<(u32, u32)> {
        let flight = self.entries.get_mut(place as usize).filter(|flight| flight.is_live)?;
        let neighbours = (flight.previous, flight.next);
        (flight.is_live, flight.next) = (false, self.free);
        self.free = place;
        self.count -= 1;
        Some(neighbours)
    }

    /// Whether that place has a share of the flag, of a request that is not in flight any more.
    #[inline]
    pub(crate) fn has_kept(&self, place: u32, cancel: &Arc<Cancel>) -> bool {
        let flight = self.entries.get(place as usize);
        flight.is_some_and(|flight| !flight.is_live && Arc::ptr_eq(&flight.cancel, cancel))
    }

    /// Takes a request out of the list that starts at `first`; returns the list's start after that.
    #[inline]
    pub(crate) fn remove(&mut self, first: u32, place: u32) -> u32 {
        let Some((previous, next)) = self.free(place) else { return first };
        if let Some(after) = self.entries.get_mut(next as usize) {
            after.previous = previous;
        }
        match self.entries.get_mut(previous as usize) {
            Some(before) => {
                before.next = next;
                first
            }
            None => next,
        }
    }

    /// The cancel flags of the list's requests with that sequence.
    pub(crate) fn with_sequence(&self, first: u32, sequence: u64) -> Vec<Arc<Cancel>> {
        self.walk(first)
            .filter(|flight| flight.sequence == sequence)
            .map(|flight| flight.cancel.clone())
            .collect()
    }

    /// Empties the list that starts at `first` and returns the cancel flags of its requests.
    pub(crate) fn remove_all(&mut self, first: u32) -> Vec<Arc<Cancel>> {
        let mut cancels = Vec::new();
        let mut place = first;
        while let Some((_, next)) = self.free(place) {
            cancels.push(self.entries[place as usize].cancel.clone());
            place = next;
        }
        cancels
    }

    fn walk(&self, first: u32) -> impl Iterator<Item = &Flight> {
        let mut place = first;
        std::iter::from_fn(move || {
            let flight = self.entries.get(place as usize)?;
            place = flight.next;
            Some(flight)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sequences(flights: &Flights, first: u32) -> Vec<u64> {
        flights.walk(first).map(|flight| flight.sequence).collect()
    }

    #[test]
    fn lists_of_two_connections_do_not_mix() {
        let mut flights = Flights::default();
        let (mut one, mut two) = (NONE, NONE);
        let mut places = Vec::new();
        for sequence in 0..4 {
            one = flights.insert(one, sequence, &Arc::default());
            places.push(one);
            two = flights.insert(two, 100 + sequence, &Arc::default());
        }
        assert_eq!(sequences(&flights, one), [3, 2, 1, 0]);
        one = flights.remove(one, places[1]);
        one = flights.remove(one, places[3]);
        one = flights.remove(one, places[0]);
        assert_eq!(sequences(&flights, one), [2]);
        assert_eq!(flights.remove_all(two).len(), 4);
        assert_eq!(flights.remove(one, places[2]), NONE);
        assert_eq!(flights.count(), 0);
    }

    #[test]
    fn a_place_keeps_the_flag_of_its_last_request_until_another_takes_it() {
        let mut flights = Flights::default();
        let (mine, other) = (Arc::<Cancel>::default(), Arc::<Cancel>::default());
        let place = flights.insert(NONE, 1, &mine);
        assert!(!flights.has_kept(place, &mine), "it is in flight");
        for _ in 0..3 {
            assert_eq!(flights.remove(place, place), NONE);
            assert!(flights.has_kept(place, &mine) && !flights.has_kept(place, &other));
            assert_eq!(flights.insert(NONE, 2, &mine), place);
            assert_eq!(Arc::strong_count(&mine), 2);
        }
        flights.remove(place, place);
        assert_eq!(flights.insert(NONE, 3, &other), place);
        assert_eq!((Arc::strong_count(&mine), Arc::strong_count(&other)), (1, 2));
    }

    #[test]
    fn a_sequence_used_twice_is_found_twice() {
        let mut flights = Flights::default();
        let first = flights.insert(NONE, 7, &Arc::default());
        let first = flights.insert(first, 8, &Arc::default());
        let first = flights.insert(first, 7, &Arc::default());
        assert_eq!(flights.with_sequence(first, 7).len(), 2);
        assert_eq!(flights.with_sequence(first, 9).len(), 0);
    }
}
