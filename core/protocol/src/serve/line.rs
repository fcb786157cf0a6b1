//! A line of its own: a queue in the order of arrival that becomes one by rank in overload.
//!
//! It is what a pool of threads takes its work from. A core, whose requests wait among other
//! things, puts the same parts together by itself.
use super::priority::Rank;
use super::queue::{Queue, Wait, Watch};
use alloc::collections::VecDeque;

/// What waits for its turn.
#[derive(Clone, Debug)]
pub struct Line<T> {
    calm: VecDeque<(Place, T)>,
    watch: Watch,
    /// In use while there is overload.
    waiting: Queue<T>,
    overloaded: bool,
    /// Somebody may be refused at all.
    refuses: bool,
}

/// What the line knows of an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Who goes first in overload.
    pub rank: Rank,
    /// Since when it waits.
    pub received_ns: u64,
    /// When it is too late for it; `u64::MAX`: never.
    pub deadline_ns: u64,
}

/// Whose turn it is, and for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn<T> {
    /// To be served.
    Run(T),
    /// To be told that there is an overload.
    Refuse(T),
}

impl<T> Default for Line<T> {
    fn default() -> Self {
        Line::new(true)
    }
}

impl<T> Line<T> {
    /// An empty one; if it does not refuse, it goes by arrival for ever.
    pub fn new(refuses: bool) -> Line<T> {
        Line {
            calm: VecDeque::new(),
            watch: Watch::default(),
            waiting: Queue::default(),
            overloaded: false,
            refuses,
        }
    }

    /// Somebody comes.
    pub fn push(&mut self, item: T, place: Place) {
        if self.overloaded {
            self.waiting.push(item, place.rank, place.received_ns);
        } else {
            self.calm.push_back((place, item));
        }
    }

    /// Whose turn it is.
    pub fn pop(&mut self, now_ns: u64) -> Option<Turn<T>> {
        if self.overloaded {
            if let Some(item) = self.waiting.expired(now_ns) {
                return Some(Turn::Refuse(item));
            }
            if self.waiting.is_calm(now_ns) {
                self.overloaded = false;
            }
            return self.waiting.pop(now_ns).map(Turn::Run);
        }
        let (place, item) = self.calm.pop_front()?;
        let Place { received_ns, deadline_ns, .. } = place;
        let wait = Wait { received_ns, deadline_ns, now_ns };
        if self.refuses && wait.is_late() && self.watch.late(&wait, self.calm.len()) {
            self.overloaded = true;
            self.waiting.begin(now_ns);
            for (place, item) in self.calm.drain(..) {
                self.waiting.push(item, place.rank, now_ns);
            }
        }
        Some(Turn::Run(item))
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.calm.len() + self.waiting.len()
    }

    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether there is overload.
    pub fn is_overloaded(&self) -> bool {
        self.overloaded
    }
}

#[cfg(test)]
mod tests {
    use super::super::priority::Priority;
    use super::*;
    use std::vec::Vec;

    const MS: u64 = 1_000_000;

    fn place(priority: Priority, received_ns: u64) -> Place {
        let deadline_ns = received_ns + 1_000 * MS;
        Place { rank: Rank::of(priority, received_ns), received_ns, deadline_ns }
    }

    #[test]
    fn it_goes_by_arrival_until_there_is_overload_and_then_by_rank() {
        let mut line = Line::default();
        let mut now_ns = 5_000 * MS;
        let (mut served, mut refused) = ([0; 3], [0; 3]);
        let mut order: Vec<u64> = Vec::new();
        // Two come each millisecond, one of them sheddable, and one is served.
        for step in 0..2_000u64 {
            for priority in [Priority::Sheddable, Priority::Critical] {
                line.push((priority, step), place(priority, now_ns));
            }
            loop {
                match line.pop(now_ns) {
                    Some(Turn::Refuse((priority, _))) => refused[priority as usize] += 1,
                    Some(Turn::Run((priority, step))) => {
                        if line.is_overloaded() {
                            served[priority as usize] += 1;
                        } else {
                            order.push(step);
                        }
                        break;
                    }
                    None => break,
                }
            }
            now_ns += MS;
        }
        assert!(order.is_sorted() && order.len() > 100, "{}", order.len());
        let [sheddable, _, critical] = served;
        assert!(critical > 1_500 && sheddable < 100, "{served:?}");
        // Those that waited when it began were too many for a server that has no room to spare.
        assert!(refused[0] > 1_500 && refused[2] < 200, "{refused:?}");
    }

    #[test]
    fn nobody_is_lost_on_the_way_into_overload_and_out_of_it() {
        let mut line = Line::default();
        let mut now_ns = 5_000 * MS;
        let (mut came, mut left) = (0, 0);
        for step in 0..4_000 {
            if !(1_000..=3_000).contains(&step) {
                for _ in 0..if step < 1_000 { 3 } else { 1 } {
                    line.push((), place(Priority::Default, now_ns));
                    came += 1;
                }
            }
            while let Some(turn) = line.pop(now_ns) {
                left += 1;
                if turn == Turn::Run(()) {
                    break;
                }
            }
            now_ns += MS;
        }
        assert!(!line.is_overloaded());
        assert_eq!(came, left + line.len());
        assert!(line.len() <= 1);
    }
}
