//! Why one instance was picked and not another: a word for each way of choosing, small enough to
//! travel with every span.
use core::fmt;

/// Why an instance was picked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// Nobody else can be called.
    Only,
    /// Drawn first, and the second was not clearly cheaper.
    Drawn,
    /// Drawn second, and clearly cheaper than the first.
    Cheaper,
    /// Its turn, in weighted round robin.
    Turn,
    /// The key belongs to it.
    Key,
    /// The key's own instance has too much to do, or is out.
    KeySpill,
    /// To see whether it works again.
    Trial,
    /// To see whether it is still slow.
    Look,
    /// Nobody is live: by chance.
    AllDead,
}

impl Why {
    /// Each of them, with the words for it.
    pub const ALL: [(Why, &'static str); 9] = [
        (Why::Only, "nobody else"),
        (Why::Drawn, "drawn"),
        (Why::Cheaper, "cheaper"),
        (Why::Turn, "its turn"),
        (Why::Key, "its key"),
        (Why::KeySpill, "key spilled"),
        (Why::Trial, "trial"),
        (Why::Look, "look"),
        (Why::AllDead, "all dead"),
    ];

    /// The words for it.
    pub fn name(self) -> &'static str {
        Self::ALL[self as usize].1
    }
}

impl fmt::Display for Why {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_its_own_words() {
        for (row, (why, name)) in Why::ALL.iter().enumerate() {
            assert_eq!((*why as usize, why.name()), (row, *name));
        }
    }
}
