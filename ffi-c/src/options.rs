//! Structs of options, of whatever version: each begins with its own size.
//!
//! A caller that was compiled with an older header passes a shorter struct: what it does not have
//! is 0, which in every field means "as if not set". One with a newer header passes a longer one:
//! it is understood as long as it uses nothing that this library does not know.

use std::mem::{self, MaybeUninit};

use msec::{Code, Error, Result};

/// A struct of plain fields for which all zeros is a value, and which begins with its size.
///
/// # Safety
/// The type is `repr(C)`, its first field is a `u32`, and any bytes that a C program puts into it
/// are a value of it, all zeros too.
pub(crate) unsafe trait Options: Copy {
    /// The name in C.
    const NAME: &'static str;
}

/// Fails where a flag is set that is not among the known ones.
pub(crate) fn flags<O: Options>(given: u32, known: u32) -> Result<()> {
    match given & !known {
        0 => Ok(()),
        _ => {
            let text = format!("{} has flags of a newer libmsec", O::NAME);
            Err(Error::new(Code::INVALID_PARAMETER, text))
        }
    }
}

/// What the caller set, in the form of today; `None` for NULL.
///
/// # Safety
/// `given` is NULL or points to a struct as large as its first field says.
pub(crate) unsafe fn read<O: Options>(given: *const O) -> Result<Option<O>> {
    if given.is_null() {
        return Ok(None);
    }
    let wrong = |text: String| Err(Error::new(Code::INVALID_PARAMETER, text));
    // SAFETY: every such struct begins with a u32, which is there by the caller's promise.
    let size = unsafe { given.cast::<u32>().read() } as usize;
    if size < size_of::<u32>() || size > 1 << 16 {
        return wrong(format!("{} has size {size}: start from its _INIT macro", O::NAME));
    }
    let known = size.min(mem::size_of::<O>());
    let mut options = MaybeUninit::<O>::zeroed();
    // SAFETY: `known` bytes are there on both sides, and a new local does not overlap anything.
    unsafe { given.cast::<u8>().copy_to_nonoverlapping(options.as_mut_ptr().cast(), known) };
    // SAFETY: `size` bytes are there by the caller's promise.
    let rest = unsafe { std::slice::from_raw_parts(given.cast::<u8>().add(known), size - known) };
    if rest.iter().any(|byte| *byte != 0) {
        return wrong(format!("{} uses fields of a newer libmsec", O::NAME));
    }
    // SAFETY: any bytes are a value of such a type.
    Ok(Some(unsafe { options.assume_init() }))
}
