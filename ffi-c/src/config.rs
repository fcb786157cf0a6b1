//! The configuration of an engine: what it was told, and what is in force.

use std::ffi::c_char;

use msec::{Code, Config, Error, Result};

use crate::engine::msec_engine;
use crate::error::text;
use crate::text::{self, msec_text};

/// A setting, by the name that it has in the environment. Nothing of it is kept.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct msec_setting {
    /// `MSEC_STALL_MS`, for one; not NULL.
    pub name: *const c_char,
    /// The value as the environment would have it; not NULL. Empty sets nothing.
    pub value: *const c_char,
}

/// The value of a setting that is in force, by the name that the page `/config` gives it, such as
/// "stall_ms": it may come from the options, from the environment, or be a default. Of TLS there
/// are files, never what is in them. The text is to be given back with `msec_text_free`.
///
/// Errors: -1 there is no such setting.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn msec_engine_config(
    engine: *const msec_engine,
    name: *const c_char,
    value: *mut *mut msec_text,
) -> i32 {
    guard!([engine, name, value] {
        // SAFETY: not NULL, so a live engine and a string.
        let (engine, name) = unsafe { (&*engine, text("name", name)?) };
        let facts = engine.0.config().facts();
        let Some((_, fact)) = facts.into_iter().find(|(known, _)| *known == name) else {
            let text = format!("there is no setting `{name}`");
            return Err(Error::new(Code::INVALID_PARAMETER, text));
        };
        // SAFETY: not NULL, and a place for a pointer.
        unsafe { text::hand_out(value, fact) };
        Ok(())
    })
}

/// A configuration with settings.
///
/// # Safety
/// `settings` is NULL or `count` settings, whose texts are NULL or strings.
pub(crate) unsafe fn with(
    mut config: Config,
    settings: *const msec_setting,
    count: usize,
) -> Result<Config> {
    if settings.is_null() {
        return Ok(config);
    }
    // SAFETY: the caller's promise.
    for setting in unsafe { std::slice::from_raw_parts(settings, count) } {
        if setting.name.is_null() || setting.value.is_null() {
            return Err(Error::new(Code::INVALID_PARAMETER, "a setting has a NULL in it"));
        }
        // SAFETY: strings.
        let (name, value) =
            unsafe { (text("a name", setting.name)?, text("a value", setting.value)?) };
        config = config.variable(name, value)?;
    }
    Ok(config)
}
