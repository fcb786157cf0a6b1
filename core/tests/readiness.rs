//! Waiting for descriptors, on both back ends.

mod common;

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use msec::sync::{Either, Wait, after, select2, until_readable};
use msec::{Code, Error};

use common::{MOMENT, PATIENCE, code, run, until};

#[test]
fn a_descriptor_is_waited_for_and_its_owner_may_close_it_meanwhile() {
    run(|| {
        let (mut ours, mut theirs) = UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        msec::writable(&ours)?;
        assert_eq!(code(msec::readable_timeout(&ours, MOMENT)), Code::TIMEOUT);
        let writing = theirs.try_clone()?;
        let task = msec::spawn(move || {
            msec::sleep(MOMENT)?;
            Ok::<(), Error>((&writing).write_all(b"xy")?)
        });
        msec::readable_timeout(&ours, PATIENCE)?;
        assert_eq!(ours.read(&mut [0; 8])?, 2);
        task.join()??;
        // Full: not writable until somebody reads.
        while ours.write(&[0; 65536]).is_ok() {}
        assert_eq!(code(msec::writable_timeout(&ours, MOMENT)), Code::TIMEOUT);
        theirs.set_nonblocking(true)?;
        let draining = msec::spawn(move || {
            let mut memory = vec![0; 65536];
            while theirs.read(&mut memory).is_ok() {}
            theirs
        });
        msec::writable_timeout(&ours, PATIENCE)?;
        let theirs = draining.join()?;
        let waiting = until_readable(&ours)?;
        let task = msec::spawn(move || waiting.wait_timeout(PATIENCE)?);
        msec::yield_now()?;
        drop(ours);
        msec::yield_now()?;
        drop(theirs);
        task.join()??;
        msec::readable_timeout(File::open("/proc/self/cmdline")?, PATIENCE)?;
        Ok(())
    });
}

#[test]
fn waits_for_descriptors_that_end_early_leave_no_descriptor_behind() {
    run(|| {
        let (ours, theirs) = UnixStream::pair()?;
        // Names of this pair's sockets: other tests open and close descriptors meanwhile.
        let name = std::fs::read_link(format!("/proc/self/fd/{}", number(&ours)))?;
        let open = || {
            let all = std::fs::read_dir("/proc/self/fd").unwrap().flatten();
            let same = all.filter_map(|entry| std::fs::read_link(entry.path()).ok());
            same.filter(|link| *link == name).count()
        };
        for _ in 0..100 {
            let outcome = select2(until_readable(&ours)?, after(Duration::ZERO))?;
            assert!(matches!(outcome, Either::Second(())));
            assert_eq!(code(msec::readable_timeout(&ours, Duration::from_nanos(1))), Code::TIMEOUT);
        }
        until(|| open() == 1)?;
        (&theirs).write_all(b"z")?;
        msec::readable_timeout(&ours, PATIENCE)
    });
}

fn number(fd: &impl std::os::fd::AsRawFd) -> i32 {
    fd.as_raw_fd()
}
