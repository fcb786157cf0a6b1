//! Consistent hashing with bounded loads (Mirrokni, Thorup, Zadimoghaddam 2018).
//!
//! Each instance is many points on a ring of 64-bit numbers; a key belongs to the first point that
//! follows it. An instance that comes or goes moves the keys of its own points only. Bounded
//! loads: an instance that has a quarter more calls in flight than its share is passed over, and
//! the key goes to the next point, so that a popular key does not drown its instance.
//!
//! The points depend on address and weight alone, not on who computes them: all callers agree.
use super::address::Address;
use alloc::vec::Vec;

/// Points of an instance of usual weight: loads then differ by about a tenth.
const POINTS_PER_INSTANCE: u64 = 100;
/// Points of one ring at most, 1 MiB: beyond some hundred instances they get fewer each.
const POINTS_MAX: u64 = 65_536;

/// The ring of one service.
#[derive(Clone, Debug, Default)]
pub(super) struct Ring {
    /// Sorted by position.
    points: Vec<(u64, u32)>,
}

impl Ring {
    /// The ring of these instances: entry, address, weight.
    pub(super) fn new<'a>(
        instances: impl Iterator<Item = (u32, &'a Address, u32)> + Clone,
    ) -> Ring {
        let (mut count, mut sum) = (0u64, 0u64);
        for (_, _, weight) in instances.clone() {
            count += 1;
            sum += u64::from(weight);
        }
        let all = (count * POINTS_PER_INSTANCE).min(POINTS_MAX);
        let mut points = Vec::new();
        for (entry, address, weight) in instances {
            let share = (u64::from(weight) * all).div_ceil(sum.max(1)).max(1);
            let name = hash_of(address);
            points.extend((0..share).map(|point| (mix(name ^ mix(point)), entry)));
        }
        points.sort_unstable();
        Ring { points }
    }

    /// The entries in the order in which a key asks them; an entry comes up many times.
    pub(super) fn walk(&self, key: u64) -> impl Iterator<Item = u32> {
        let start = self.points.partition_point(|(position, _)| *position < mix(key));
        let (before, after) = self.points.split_at(start);
        after.iter().chain(before).map(|(_, entry)| *entry)
    }
}

/// FNV-1a: the same in every process and version.
struct Fnv(u64);

impl Fnv {
    const NEW: Fnv = Fnv(0xcbf2_9ce4_8422_2325);

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

fn hash_of(address: &Address) -> u64 {
    let mut hasher = Fnv::NEW;
    match address {
        Address::Tcp(at) | Address::Tls(at, _) | Address::Udp(at) => {
            match at.ip() {
                core::net::IpAddr::V4(ip) => hasher.write(&ip.octets()),
                core::net::IpAddr::V6(ip) => hasher.write(&ip.octets()),
            }
            hasher.write(&at.port().to_be_bytes());
        }
        Address::Unix(path) => hasher.write(path.as_bytes()),
    }
    mix(hasher.finish())
}

/// The number that stands for a key in every process and version.
pub fn key_of(key: &[u8]) -> u64 {
    let mut hasher = Fnv::NEW;
    hasher.write(key);
    mix(hasher.finish())
}

/// Spreads a number over all 64 bits (the end of SplitMix64, Vigna 2015).
pub(super) fn mix(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{format, vec};

    fn ring(addresses: &[(Address, u32)]) -> Ring {
        let entries = addresses.iter().enumerate();
        Ring::new(entries.map(|(n, (address, weight))| (n as u32, address, *weight)))
    }

    fn addresses(count: u32) -> Vec<(Address, u32)> {
        (0..count).map(|n| (format!("10.0.0.{n}:7963").parse().unwrap(), 100)).collect()
    }

    fn owner(ring: &Ring, key: u64) -> Option<u32> {
        ring.walk(key).next()
    }

    #[test]
    fn keys_spread_by_weight() {
        let mut all = addresses(10);
        all[3].1 = 300;
        let ring = ring(&all);
        let mut counts = vec![0u32; 10];
        for key in 0..60_000 {
            counts[owner(&ring, key).unwrap() as usize] += 1;
        }
        for (entry, count) in counts.iter().enumerate() {
            let expect = if entry == 3 { 15_000 } else { 5_000 };
            assert!(count.abs_diff(expect) < expect / 3, "{entry}: {counts:?}");
        }
    }

    #[test]
    fn only_the_keys_of_the_one_that_goes_move() {
        let all = addresses(10);
        let (before, after) = (ring(&all), ring(&all[..9]));
        for key in 0..10_000 {
            let old = owner(&before, key);
            if old != Some(9) {
                assert_eq!(owner(&after, key), old);
            }
        }
    }

    #[test]
    fn a_key_asks_everybody_in_the_end() {
        let ring = ring(&addresses(5));
        let mut asked: Vec<u32> = ring.walk(42).collect();
        asked.sort_unstable();
        asked.dedup();
        assert_eq!(asked, [0, 1, 2, 3, 4]);
        assert_eq!(owner(&Ring::default(), 1), None);
    }
}
