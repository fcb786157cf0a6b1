//! What a record says of the request that it is about, without being told.
//!
//! The fields have the names of the original engine, so that searches of ten years still find
//! something: `RPCName`, `Caller`, `ClientIP`, `ServerIP`, `ServiceName`, and `ReqID` and
//! `Coloring`, which a record has by itself. However a method is run, its records have them all:
//!
//! | code runs on | its request is found |
//! |---|---|
//! | a coroutine | at its task |
//! | a task that was spawned | at the task that spawned it, as long as that is not over |
//! | the loop of a core (callback methods) | at the core |
//! | an offload thread | in [`Known`], made when the job was sent there |
//!
//! What a task inherits (`ReqID`, `Coloring` and the span) it has also when its request is over.

use std::cell::RefCell;
use std::sync::atomic::{AtomicBool, Ordering};

use msec_protocol::log::Draft;

use crate::context::Context;
use crate::engine::Shared;
use crate::error::Result;
use crate::offload;
use crate::shard::{self, Shard};
use crate::task::{Inherited, Task};

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
/// Belongs to the coroutine, or to the thread where there is none. Tasks that it spawns have it as
/// long as it is not over, and so do functions that it offloads. Up to 16 of them.
///
/// # Errors
/// -2 on the loop of a core (callback methods, callbacks), which has no coroutine of its own.
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
    let Some(shard) = shard::current() else {
        // On the loop of a core there are none; here the thread may be at its end.
        let _ = OPTIONS.try_with(|options| {
            let options = options.borrow();
            options.iter().for_each(|(key, value)| draft.field(key, format_args!("{value}")));
        });
        return offload::with_known(|known| known.add_to(draft));
    };
    each_option(&shard, |key, value| draft.field(key, format_args!("{value}")));
    each_field(&shard, |key, value| draft.field(key, format_args!("{value}")));
}

/// Tells the options of the task that runs on this core and of those that it was spawned by; of two
/// for one key the nearest counts.
fn each_option(shard: &Shard, mut tell: impl FnMut(&str, &str)) {
    if !HAS_OPTIONS.load(Ordering::Relaxed) {
        return;
    }
    let mut told: Vec<String> = Vec::new();
    for task in shard.tasks.line() {
        OPTIONS.look(task.locals(), |options| {
            for (key, value) in options.borrow().iter() {
                if !told.contains(key) {
                    tell(key, value);
                    told.push(key.clone());
                }
            }
        });
    }
}

/// Tells of the request that the code which runs on this core works for, and of who serves it.
fn each_field(shard: &Shard, mut tell: impl FnMut(&'static str, &str)) {
    let serving = shard.tasks.line().find(|task| task.request().is_some());
    match serving.as_deref().and_then(Task::request) {
        Some(context) => each_field_of(&context, &mut tell),
        None => {
            if let Some(context) = &*shard.on_loop.borrow() {
                each_field_of(context, &mut tell);
            }
        }
    }
    each_field_of_service(&shard.shared, &mut tell);
}

fn each_field_of(context: &Context, tell: &mut impl FnMut(&'static str, &str)) {
    let peer = context.peer();
    tell("RPCName", context.method_name());
    tell("Caller", context.caller());
    tell("ClientIP", host(&peer));
}

fn each_field_of_service(shared: &Shared, tell: &mut impl FnMut(&'static str, &str)) {
    let (service, instance) = shared.identity();
    if !instance.is_empty() {
        tell("ServerIP", host(instance));
    }
    if !service.is_empty() {
        tell("ServiceName", service);
    }
}

/// What records are to say on another thread, which cannot look at the request.
#[derive(Default)]
pub(crate) struct Known {
    options: Vec<(String, String)>,
    fields: Vec<(&'static str, String)>,
}

impl Known {
    /// What is known here, on a core.
    pub(crate) fn here(shard: &Shard) -> Known {
        let mut known = Known::default();
        each_option(shard, |key, value| known.options.push((key.into(), value.into())));
        each_field(shard, |key, value| known.fields.push((key, value.into())));
        known
    }

    /// What is known of a request that runs elsewhere.
    pub(crate) fn of(shared: &Shared, context: &Context) -> Known {
        let mut known = Known::default();
        let mut tell = |key, value: &str| known.fields.push((key, value.into()));
        each_field_of(context, &mut tell);
        each_field_of_service(shared, &mut tell);
        known
    }

    fn add_to(&self, draft: &mut Draft) {
        self.options.iter().for_each(|(key, value)| draft.field(key, format_args!("{value}")));
        self.fields.iter().for_each(|(key, value)| draft.field(key, format_args!("{value}")));
    }
}

/// An address without its port.
fn host(address: &str) -> &str {
    address.rsplit_once(':').map_or(address, |(host, _)| host)
}
