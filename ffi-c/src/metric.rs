//! Attributes: what the business reports of itself, without registering anything.

use std::ffi::{CStr, c_char};

use crate::guard;

/// A label of an attribute. Nothing of it is kept.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct msec_label {
    /// The key, not NULL.
    pub key: *const c_char,
    /// The value, not NULL.
    pub value: *const c_char,
}

/// Labels that an attribute has at most; more are left out.
const LABELS_COUNT_MAX: usize = 8;

/// Hands the name and the labels to `report`. What is no text is left out: a metric is not worth a
/// failure.
///
/// # Safety
/// `name` is NULL or a string, `labels` is NULL or `labels_count` labels of strings.
unsafe fn with(
    name: *const c_char,
    labels: *const msec_label,
    labels_count: usize,
    report: impl FnOnce(&str, &[(&str, &str)]),
) {
    guard::or((), || {
        // SAFETY: the caller's promise.
        let Some(name) = (unsafe { text(name) }) else { return };
        let mut pairs = [("", ""); LABELS_COUNT_MAX];
        let mut count = 0;
        if !labels.is_null() {
            // SAFETY: the caller's promise.
            let labels = unsafe { std::slice::from_raw_parts(labels, labels_count) };
            for label in labels.iter().take(LABELS_COUNT_MAX) {
                // SAFETY: the caller's promise.
                if let (Some(key), Some(value)) = unsafe { (text(label.key), text(label.value)) } {
                    pairs[count] = (key, value);
                    count += 1;
                }
            }
        }
        report(name, &pairs[..count]);
    });
}

/// # Safety
/// `text` is NULL or a string.
unsafe fn text<'a>(text: *const c_char) -> Option<&'a str> {
    if text.is_null() {
        return None;
    }
    // SAFETY: the caller's promise.
    unsafe { CStr::from_ptr(text) }.to_str().ok()
}

/// Adds to a sum. `name` is cut at 128 bytes; `labels` may be NULL. From any thread; never
/// suspends.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn msec_metric_add(
    name: *const c_char,
    amount: u64,
    labels: *const msec_label,
    labels_count: usize,
) {
    let report = |name: &str, labels: &[(&str, &str)]| msec::metric::add_with(name, amount, labels);
    // SAFETY: by the header's conventions.
    unsafe { with(name, labels, labels_count, report) };
}

/// Sets a value, of which the last one counts. `name` is cut at 128 bytes; `labels` may be NULL.
/// From any thread; never suspends.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn msec_metric_set(
    name: *const c_char,
    value: i64,
    labels: *const msec_label,
    labels_count: usize,
) {
    let report = |name: &str, labels: &[(&str, &str)]| msec::metric::set_with(name, value, labels);
    // SAFETY: by the header's conventions.
    unsafe { with(name, labels, labels_count, report) };
}

/// Counts a value by its size, in a histogram. `name` is cut at 128 bytes; `labels` may be NULL.
/// From any thread; never suspends.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn msec_metric_record(
    name: *const c_char,
    value: u64,
    labels: *const msec_label,
    labels_count: usize,
) {
    let report =
        |name: &str, labels: &[(&str, &str)]| msec::metric::record_with(name, value, labels);
    // SAFETY: by the header's conventions.
    unsafe { with(name, labels, labels_count, report) };
}
