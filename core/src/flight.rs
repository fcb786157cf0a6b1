//! Requests in flight: accepted from a connection of this core and not yet answered.
//!
//! One table a core. The requests of one connection are a doubly linked list through it, so that
//! an idle connection costs nothing, an answer finds its entry by index, and the death of a
//! connection finds all of its requests. A cancel frame walks the list of its connection, which
//! the limit of requests in flight bounds.
//!
//! Two requests of one connection may carry the same sequence, against the rules: both are
//! answered, and a cancel means both. Refusing the second would cost every honest request a
//! look-up.

use std::sync::Arc;

use slab::Slab;

use crate::cancel::Cancel;

/// The end of a list.
pub(crate) const NONE: u32 = u32::MAX;

struct Flight {
    sequence: u64,
    cancel: Arc<Cancel>,
    previous: u32,
    next: u32,
}

/// The requests in flight of a core's connections.
#[derive(Default)]
pub(crate) struct Flights {
    entries: Slab<Flight>,
}

impl Flights {
    pub(crate) fn count(&self) -> usize {
        self.entries.len()
    }

    /// Puts a request at the front of the list that starts at `first`; returns its place, which is
    /// the new start.
    #[inline]
    pub(crate) fn insert(&mut self, first: u32, sequence: u64, cancel: Arc<Cancel>) -> u32 {
        let flight = Flight { sequence, cancel, previous: NONE, next: first };
        let place = self.entries.insert(flight) as u32;
        if let Some(next) = self.entries.get_mut(first as usize) {
            next.previous = place;
        }
        place
    }

    /// Takes a request out of the list that starts at `first`; returns the list's start after that.
    #[inline]
    pub(crate) fn remove(&mut self, first: u32, place: u32) -> u32 {
        let Some(flight) = self.entries.try_remove(place as usize) else { return first };
        if let Some(next) = self.entries.get_mut(flight.next as usize) {
            next.previous = flight.previous;
        }
        match self.entries.get_mut(flight.previous as usize) {
            Some(previous) => {
                previous.next = flight.next;
                first
            }
            None => flight.next,
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
        while let Some(flight) = self.entries.try_remove(place as usize) {
            place = flight.next;
            cancels.push(flight.cancel);
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
            one = flights.insert(one, sequence, Arc::default());
            places.push(one);
            two = flights.insert(two, 100 + sequence, Arc::default());
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
    fn a_sequence_used_twice_is_found_twice() {
        let mut flights = Flights::default();
        let first = flights.insert(NONE, 7, Arc::default());
        let first = flights.insert(first, 8, Arc::default());
        let first = flights.insert(first, 7, Arc::default());
        assert_eq!(flights.with_sequence(first, 7).len(), 2);
        assert_eq!(flights.with_sequence(first, 9).len(), 0);
    }
}
