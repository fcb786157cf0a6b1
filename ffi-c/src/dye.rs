//! Dye rules: which requests keep all their records and spans.

use std::ffi::c_char;

use msec::dye::{BadRule, Rule};
use msec::{Code, Error, Result};

use crate::engine::msec_engine;
use crate::error::text;
use crate::guard;

/// Puts dye rules in force in the place of those that were, on all cores: `rules` has semicolons
/// between them, such as `caller=Demo.web uin=11228491 for=10m; method=a.B.* percent=0.5`. At most
/// 64; empty for none. Must not be called on a coroutine.
///
/// Errors: -1 a rule that is none: the old ones stay; -2 on a core's thread.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn msec_engine_set_dye_rules(
    engine: *const msec_engine,
    rules: *const c_char,
) -> i32 {
    guard!([engine, rules] {
        guard::off_core("set dye rules")?;
        // SAFETY: not NULL, so a live engine and a string.
        let (engine, rules) = unsafe { (&*engine, text("rules", rules)?) };
        let rules = rules.split(';').map(str::trim).filter(|rule| !rule.is_empty());
        let parsed = rules.map(|rule| {
            let bad = |bad: BadRule| format!("`{rule}`: {bad}");
            let parsed = rule.parse::<Rule>();
            parsed.map_err(|error| Error::new(Code::INVALID_PARAMETER, bad(error)))
        });
        engine.0.set_dye_rules(parsed.collect::<Result<_>>()?);
        Ok(())
    })
}
