//! How a body travels, and how it becomes the bytes that a method takes.
//!
//! Methods take and return messages as Protocol Buffers serialize them, whatever came over the
//! wire. What was compressed or is JSON is turned into that right before the method starts, on the
//! core or thread that it runs on, and the answer back right after.

use msec_protocol::{Code, limits};

use crate::budget::Charge;
use crate::compress::{self, Compress};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::json::Mapping;
use crate::serve::Plan;

/// How the body of a request travels, and that of its answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Coding {
    /// As it is.
    #[default]
    Plain,
    /// Compressed.
    Compressed(Compress),
    /// As JSON.
    Json(Mapping),
}

/// Bodies that stay below this many bytes are not counted against the budget.
const CHARGE_BYTES_MIN: usize = 16 * 1024;
/// How much longer a message may be than the JSON that it came as: a list of doubles is two bytes
/// of text each, and eight as they are.
const JSON_GROWTH_FACTOR: usize = 4;

/// Turns the body of a request into what its method takes.
#[inline]
pub(crate) fn open_unless_plain(plan: &Plan, context: &mut Context) -> Result<()> {
    if context.coding() == Coding::Plain { Ok(()) } else { open(plan, context) }
}

#[cold]
fn open(plan: &Plan, context: &mut Context) -> Result<()> {
    match context.coding() {
        Coding::Plain => Ok(()),
        Coding::Compressed(kind) => {
            let body = context.body();
            let bytes = compress::plain_bytes(kind, body, plan.body_bytes_max)?;
            let charge = charge(plan, bytes)?;
            let mut frame = context.frame_for_body(bytes);
            compress::decompress(kind, body, bytes, &mut frame)?;
            context.set_frame(frame, charge);
            Ok(())
        }
        Coding::Json(_) => {
            let method = &plan.methods.list[context.method as usize];
            let messages = method.messages.as_ref().ok_or_else(|| {
                let text = format!(
                    "method {} is not described here, so JSON means nothing to it: send bytes as \
                     application/octet-stream, or give the server its descriptor set",
                    method.name.text()
                );
                Error::new(Code::INVALID_BODY, text)
            })?;
            let body = context.body();
            let charge = charge(plan, body.len().saturating_mul(JSON_GROWTH_FACTOR))?;
            let mut frame = context.frame_for_body(body.len());
            messages.read(body, &mut frame)?;
            context.set_frame(frame, charge);
            Ok(())
        }
    }
}

/// Turns what a method returned into the body of its answer.
pub(crate) fn close(plan: &Plan, context: &Context, body: Vec<u8>) -> Result<Vec<u8>> {
    match context.coding() {
        Coding::Plain => Ok(body),
        Coding::Compressed(kind) => {
            if body.len() < limits::COMPRESS_BYTES_MIN || body.len() > plan.body_bytes_max {
                return Ok(body);
            }
            let shorter = compress::compress(kind, &body)?;
            if shorter.len() >= body.len() {
                return Ok(body);
            }
            context.set_answer_compress(kind);
            Ok(shorter)
        }
        Coding::Json(mapping) => {
            let method = &plan.methods.list[context.method as usize];
            let mut text = Vec::with_capacity(body.len() * 2);
            if let Some(messages) = &method.messages {
                messages.write(mapping, &body, &mut text)?;
            }
            Ok(text)
        }
    }
}

/// Counts bytes against the budget of the process for as long as what is returned lives.
fn charge(plan: &Plan, bytes: usize) -> Result<Option<Charge>> {
    if bytes < CHARGE_BYTES_MIN {
        return Ok(None);
    }
    let text = "too many bytes of requests are held in this process";
    let charge = plan.bytes.charge(bytes as u64);
    charge.map(Some).ok_or_else(|| Error::new(Code::OVERLOADED, text))
}
