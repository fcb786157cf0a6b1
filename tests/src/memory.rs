//! How much memory this process uses, for tests that look for leaks.

/// Memory in KiB: what of the heap is in use, and what is resident in all.
#[derive(Clone, Copy, Debug, Default)]
pub struct Memory {
    /// Not given back to the heap.
    pub heap_kib: u64,
    /// Of stacks, buffers and code as well, but without the holes of the heap.
    pub resident_kib: u64,
}

impl Memory {
    /// As it is now.
    pub fn now() -> Self {
        msec::trim_heap();
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        let resident_kib = line.split_whitespace().nth(1).unwrap().parse().unwrap();
        Self { heap_kib: msec::heap_bytes() as u64 / 1024, resident_kib }
    }

    /// Whether there is less than so much more than there was.
    pub fn is_within(self, before: Self, growth: Self) -> bool {
        self.heap_kib < before.heap_kib + growth.heap_kib
            && self.resident_kib < before.resident_kib + growth.resident_kib
    }
}
