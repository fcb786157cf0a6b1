//! What a record says of the request that it is about, without being told.
//!
//! The fields have the names of the original engine, so that searches of ten years still find
//! something: `RPCName`, `Caller`, `ClientIP`, `ServerIP`, `ServiceName`, and `ReqID` and
//! `Coloring`, which a record has by itself. Of a task that a request has spawned, and of an
//! offloaded function, what is inherited is known: `ReqID`, `Coloring` and the span.

use std::cell::RefCell;
use std::sync::atomic::{AtomicBool, Ordering};

use msec_protocol::log::Draft;

use crate::error::Result;
use crate::shard;
use crate::task::Inherited;

/// Whom a record is about.
#[derive(Clone, Copy, Default)]
pub(crate) struct Here {
    pub(crate) flow_id: u64,
    pub(crate) span_id: u64,
    pub(crate) dyed: bool,
}

impl Here {
    fn of(inherited: &Inherited) -> Here {
        let Inherited { flow_id, span_id, coloring, .. } = *inherited;
        Here { flow_id, span_id, dyed: coloring != 0 }
    }
}

/// The request that the code which runs here works for.
pub(crate) fn here() -> Here {
    Here::of(&crate::inherited())
}

/// Whether the request that the code which runs here works for is dyed.
#[inline(never)]
pub(crate) fn is_dyed() -> bool {
    here().dyed
}

/// Options that a request may have at most; further ones are left out.
const OPTIONS_MAX: usize = 16;

crate::local! {
    /// Keys and values, by the coroutine.
    static OPTIONS: RefCell<Vec<(String, String)>> = RefCell::default();
}

/// Somebody uses options; before, nobody need be asked for his.
static HAS_OPTIONS: AtomicBool = AtomicBool::new(false);

/// Adds a field to all further records of this request, here where it is served: the user's id, the
/// tenant. A second value for a key replaces the first. If a dye rule waits for this field, the
/// request is dyed, and so are the calls that are made for it from now on.
///
/// ```
/// # let engine = msec::Engine::start()?;
/// # engine.run(|| {
/// msec::log::option("uin", "11228491")?;
/// msec::info!("looked up"; friends = 17);
/// # Ok::<(), msec::Error>(())
/// # })??;
/// # Ok::<(), msec::Error>(())
/// ```
///
/// Belongs to the coroutine, or to the thread where there is none; tasks that are spawned do not
/// inherit it. Up to 16 of them.
///
/// # Errors
/// -2 on the loop of a core (callback methods, callbacks), which has no request of its own.
pub fn option(key: &str, value: &str) -> Result<()> {
    HAS_OPTIONS.store(true, Ordering::Relaxed);
    OPTIONS.try_with(|options| {
        let mut options = options.borrow_mut();
        match options.iter().position(|(known, _)| known == key) {
            Some(place) => options[place].1 = value.into(),
            None if options.len() < OPTIONS_MAX => options.push((key.into(), value.into())),
            None => {}
        }
    })?;
    crate::dye::by_option(key, value);
    Ok(())
}

/// Adds the fields of the request to a record.
pub(crate) fn add_fields(draft: &mut Draft) {
    if HAS_OPTIONS.load(Ordering::Relaxed) {
        // On the loop of a core there are none.
        let _ = OPTIONS.try_with(|options| {
            let options = options.borrow();
            options.iter().for_each(|(key, value)| draft.field(key, format_args!("{value}")));
        });
    }
    let Some(shard) = shard::current() else { return };
    if let Some(task) = shard.tasks.current()
        && let Some(context) = task.request()
    {
        let peer = context.peer();
        draft.field("RPCName", format_args!("{}", context.method_name()));
        draft.field("Caller", format_args!("{}", context.caller()));
        draft.field("ClientIP", format_args!("{}", host(&peer)));
    }
    let (service, instance) = shard.shared.identity();
    if !instance.is_empty() {
        draft.field("ServerIP", format_args!("{}", host(instance)));
    }
    if !service.is_empty() {
        draft.field("ServiceName", format_args!("{service}"));
    }
}

/// An address without its port.
fn host(address: &str) -> &str {
    address.rsplit_once(':').map_or(address, |(host, _)| host)
}
