//! What a call says beyond its method and message, as Java writes it.

use std::time::Duration;

use msec::{CallOptions, Compress, Priority};

use crate::fields::Fields;
use crate::guard::{Result, invalid};

/// No answer is wanted.
pub(crate) const CALL_ONE_WAY: u32 = 1;
/// Every service on the way keeps all its log lines and spans.
pub(crate) const CALL_DYED: u32 = 2;
/// The method may run twice.
pub(crate) const CALL_IDEMPOTENT: u32 = 4;
/// The call is sent a second time when its answer is later than most.
pub(crate) const CALL_HEDGE_AT_P95: u32 = 8;
/// The body is compressed by LZ4.
pub(crate) const CALL_LZ4: u32 = 16;
/// The body is compressed by Zstandard.
pub(crate) const CALL_ZSTD: u32 = 32;

/// Reads options: flags, milliseconds of timeout and of hedging, priority, lane, retries (-1: the
/// default), key, caller, and headers. What is 0 or empty is not set.
pub(crate) fn read(fields: &mut Fields<'_>) -> Result<CallOptions> {
    let mut options = CallOptions::new();
    let flags = fields.small("flags")?;
    let has = |flag: u32| flags & flag != 0;
    options = options.one_way(has(CALL_ONE_WAY)).dyed(has(CALL_DYED));
    options = options.idempotent(has(CALL_IDEMPOTENT));
    if has(CALL_HEDGE_AT_P95) {
        options = options.hedge_at_p95();
    }
    if has(CALL_LZ4) {
        options = options.compress(Compress::Lz4);
    }
    if has(CALL_ZSTD) {
        options = options.compress(Compress::Zstd);
    }
    let ms = |ms: u32| Duration::from_millis(ms.into());
    match fields.small("the timeout")? {
        0 => {}
        timeout_ms => options = options.timeout(ms(timeout_ms)),
    }
    match fields.small("the delay of hedging")? {
        0 => {}
        delay_ms => options = options.hedge_after(ms(delay_ms)),
    }
    match fields.small("the priority")? {
        0 => {}
        1 => options = options.priority(Priority::Critical),
        2 => options = options.priority(Priority::Default),
        3 => options = options.priority(Priority::Sheddable),
        other => return Err(invalid(format!("priority {other} is none"))),
    }
    match fields.number()? {
        0 => {}
        lane => {
            let lane = u16::try_from(lane).map_err(|_| invalid(format!("lane {lane} is none")))?;
            options = options.lane(lane);
        }
    }
    match fields.number()? {
        -1 => {}
        retries => {
            let wrong = |_| invalid(format!("{retries} retries: 0 to 2 are possible"));
            options = options.retries(u8::try_from(retries).map_err(wrong)?);
        }
    }
    match fields.bytes()? {
        [] => {}
        key => options = options.key(key),
    }
    match fields.text()? {
        "" => {}
        caller => options = options.from_service(caller),
    }
    while !fields.is_empty() {
        let (key, value) = (fields.text()?, fields.bytes()?);
        options = options.header(key, value)?;
    }
    Ok(options)
}
