//! Dye, in force: which requests are dyed by rules, and where that is found out.
//!
//! Each core has a copy of the rules. They are looked at when a request is admitted, and again when
//! its handler tells the log a field that a rule may wait for. A dyed request keeps every record of
//! its log and every span, and so does everything that is called for it: the flag travels in the
//! head.

pub use msec_protocol::dye::{BadRule, Rule};

use std::rc::Rc;

use msec_protocol::dye::{Asked, Rules};

use crate::context::Context;
use crate::engine::Engine;
use crate::shard::{self, Shard};

impl Engine {
    /// Puts dye rules in force, in the place of those that were; from now on, on all cores. At
    /// most 64.
    ///
    /// ```
    /// # let engine = msec::Engine::start()?;
    /// let rule = "caller=Demo.web uin=11228491 for=10m".parse().expect("it is a rule");
    /// engine.set_dye_rules(vec![rule]);
    /// # Ok::<(), msec::Error>(())
    /// ```
    ///
    /// # Panics
    /// When called on a core thread.
    pub fn set_dye_rules(&self, rules: Vec<Rule>) {
        self.ask_all(move |shard| {
            let rules = Rules::new(rules.clone(), shard.now_ns());
            *shard.reporter.rules.borrow_mut() = rules;
        });
    }
}

/// Dyes a request that was just read, if a rule says so.
#[inline]
pub(crate) fn admit(shard: &Rc<Shard>, context: &Context) {
    if context.is_dyed() {
        crate::log::expect_dye();
    } else if !shard.reporter.rules.borrow().is_empty() {
        by_rule(shard, context);
    }
}

#[cold]
fn by_rule(shard: &Rc<Shard>, context: &Context) {
    let rules = shard.reporter.rules.borrow();
    if rules.dye(&asked(shard, context), |key| context.metadata_value(key)) {
        context.dye();
        crate::log::expect_dye();
    }
}

fn asked<'a>(shard: &Shard, context: &'a Context) -> Asked<'a> {
    let (caller, method) = (context.caller(), context.method_name());
    Asked { caller, method, flow_id: context.flow_id(), now_ns: shard.now_ns() }
}

/// Dyes the request that runs here, if a rule waits for that field.
pub(crate) fn by_option(key: &str, value: &str) {
    let Some(shard) = shard::current() else { return };
    let Some(task) = shard.tasks.current() else { return };
    let Some(context) = task.request() else { return };
    if !context.is_dyed()
        && shard.reporter.rules.borrow().dye_by(&asked(&shard, &context), key, value)
    {
        context.dye();
        crate::log::expect_dye();
    }
}
