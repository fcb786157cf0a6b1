//! Dye: which requests keep every log line and every span, at every hop.
//!
//! A request is dyed by its caller (a flag in the head, which every call made for it passes on), or
//! by a rule of the service that it reaches. A rule names conditions, all of which must hold:
//!
//! ```text
//!   uin=11228491                                  a field: a user header, or an option of the log
//!   caller=Demo.shop method=shop.Stock.Count      who asks for what; a * at the end is any rest
//!   method=shop.Stock.* percent=0.5 for=10m       a share of the requests, for a while
//! ```
//!
//! A share is drawn by the flow id, so that a rule that is in force at several services dyes the
//! same requests. A rule without an end is in force until it is replaced. There are at most
//! [`DYE_RULES_MAX`] of them, for each is looked at for each request that is not dyed.

use alloc::string::String;
use alloc::vec::Vec;
use core::str::FromStr;

use crate::limits::DYE_RULES_MAX;

/// Which requests to dye; a condition that is not there always holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The calling service; with `*` at its end, any that begins so.
    pub caller: Option<String>,
    /// The full method name; with `*` at its end, any that begins so.
    pub method: Option<String>,
    /// Key and value of a user header, or of an option of the request's log.
    pub field: Option<(String, String)>,
    /// The share of these requests; a million: all.
    pub parts_per_million: u32,
    /// For how long, in seconds from when it is set; 0: until it is replaced.
    pub seconds: u64,
}

/// All parts of a million.
const MILLION: u32 = 1_000_000;

impl Default for Rule {
    fn default() -> Rule {
        Rule { caller: None, method: None, field: None, parts_per_million: MILLION, seconds: 0 }
    }
}

/// A text is no rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadRule {
    /// A condition is not `key=value`.
    NoValue,
    /// A share is not a number from 0 to 100.
    BadPercent,
    /// A time is not a number with `s`, `m` or `h`.
    BadTime,
    /// There is a second field.
    SecondField,
    /// There is no condition at all: that would dye everything.
    Empty,
}

impl core::fmt::Display for BadRule {
    fn fmt(&self, out: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        out.write_str(match self {
            BadRule::NoValue => "a condition is written key=value",
            BadRule::BadPercent => "percent is a number from 0 to 100",
            BadRule::BadTime => "for is a number followed by s, m or h",
            BadRule::SecondField => "a rule has one field at most",
            BadRule::Empty => "a rule needs a condition, or it would dye everything",
        })
    }
}

impl core::error::Error for BadRule {}

impl FromStr for Rule {
    type Err = BadRule;

    fn from_str(text: &str) -> Result<Rule, BadRule> {
        let mut rule = Rule::default();
        let mut is_empty = true;
        for condition in text.split_whitespace() {
            let (key, value) = condition.split_once('=').ok_or(BadRule::NoValue)?;
            match key {
                "caller" => rule.caller = Some(value.into()),
                "method" => rule.method = Some(value.into()),
                "percent" => rule.parts_per_million = parts(value).ok_or(BadRule::BadPercent)?,
                "for" => rule.seconds = seconds(value).ok_or(BadRule::BadTime)?,
                "" => return Err(BadRule::NoValue),
                _ if rule.field.is_some() => return Err(BadRule::SecondField),
                _ => rule.field = Some((key.into(), value.into())),
            }
            is_empty &= key == "for";
        }
        if is_empty { Err(BadRule::Empty) } else { Ok(rule) }
    }
}

/// As it is parsed.
impl core::fmt::Display for Rule {
    fn fmt(&self, out: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let mut gap = "";
        let mut put = |key: &str, value: core::fmt::Arguments<'_>| {
            write!(out, "{gap}{key}={value}")?;
            gap = " ";
            Ok(())
        };
        if let Some(caller) = &self.caller {
            put("caller", format_args!("{caller}"))?;
        }
        if let Some(method) = &self.method {
            put("method", format_args!("{method}"))?;
        }
        if let Some((key, value)) = &self.field {
            put(key, format_args!("{value}"))?;
        }
        let (whole, rest) = (self.parts_per_million / 10_000, self.parts_per_million % 10_000);
        match rest {
            0 if self.parts_per_million == MILLION => {}
            0 => put("percent", format_args!("{whole}"))?,
            _ => put("percent", format_args!("{whole}.{rest:04}"))?,
        }
        if self.seconds > 0 {
            put("for", format_args!("{}s", self.seconds))?;
        }
        Ok(())
    }
}

/// Percent, with up to four digits behind the point, as parts of a million.
fn parts(text: &str) -> Option<u32> {
    let (whole, rest) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if rest.is_empty() || rest.len() > 4 || !digits(whole) || !digits(rest) {
        return None;
    }
    let rest = rest.parse::<u32>().ok()? * 10_u32.pow(4 - rest.len() as u32);
    let parts = whole.parse::<u32>().ok()?.checked_mul(10_000)?.checked_add(rest)?;
    (parts <= MILLION).then_some(parts)
}

fn seconds(text: &str) -> Option<u64> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let factor = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}

/// What a rule looks at in a request.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The calling service.
    pub caller: &'a str,
    /// The full method name.
    pub method: &'a str,
    /// The request's id in all services.
    pub flow_id: u64,
    /// The time.
    pub now_ns: u64,
}

/// The rules in force on one core.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// With the time at which each ends; 0: never.
    rules: Vec<(Rule, u64)>,
}

impl Rules {
    /// Puts rules in force from now on; those beyond [`DYE_RULES_MAX`] are left out.
    pub fn new(rules: impl IntoIterator<Item = Rule>, now_ns: u64) -> Rules {
        let until_ns = |rule: &Rule| match rule.seconds {
            0 => 0,
            seconds => now_ns.saturating_add(seconds.saturating_mul(1_000_000_000)),
        };
        let rules = rules.into_iter().take(DYE_RULES_MAX);
        Rules { rules: rules.map(|rule| (rule.clone(), until_ns(&rule))).collect() }
    }

    /// Whether there is nothing to look at.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// The rules that have not ended, and when they will; 0: never.
    pub fn in_force(&self, now_ns: u64) -> impl Iterator<Item = (&Rule, u64)> {
        let rules = self.rules.iter().map(|(rule, until_ns)| (rule, *until_ns));
        rules.filter(move |(_, until_ns)| *until_ns == 0 || now_ns < *until_ns)
    }

    /// Whether a rule dyes the request; `field` tells the value of one of its user headers.
    pub fn dye<'a>(&self, asked: &Asked<'_>, field: impl Fn(&str) -> Option<&'a [u8]>) -> bool {
        self.rules.iter().any(|(rule, until_ns)| {
            let in_force = *until_ns == 0 || asked.now_ns < *until_ns;
            let is_field = |(key, value): &(String, String)| field(key) == Some(value.as_bytes());
            in_force && rule.fits(asked) && rule.field.as_ref().is_none_or(is_field)
        })
    }

    /// Whether a rule dyes the request because it has that field, which it got just now.
    pub fn dye_by(&self, asked: &Asked<'_>, key: &str, value: &str) -> bool {
        let has = |(rule, _): &(Rule, u64)| rule.field.is_some();
        self.rules.iter().any(has)
            && self.dye(asked, |wanted| (wanted == key).then_some(value.as_bytes()))
    }
}

impl Rule {
    fn fits(&self, asked: &Asked<'_>) -> bool {
        let fits = |pattern: &Option<String>, text: &str| match pattern {
            None => true,
            Some(pattern) => match pattern.strip_suffix('*') {
                Some(start) => text.starts_with(start),
                None => text == pattern,
            },
        };
        fits(&self.caller, asked.caller)
            && fits(&self.method, asked.method)
            && is_drawn(asked.flow_id, self.parts_per_million)
    }
}

/// Whether a request belongs to a share, the same at every service.
#[inline]
pub fn is_drawn(flow_id: u64, parts_per_million: u32) -> bool {
    // Flow ids of old peers are numbers in a row: mixed, any share of them is spread evenly.
    let mixed = flow_id.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = mixed ^ mixed >> 32;
    let mixed = mixed.wrapping_mul(0xd6e8_feb8_6659_fd93) >> 32;
    (mixed * u64::from(MILLION)) >> 32 < u64::from(parts_per_million)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    fn asked(caller: &'static str, method: &'static str, flow_id: u64) -> Asked<'static> {
        Asked { caller, method, flow_id, now_ns: 5 }
    }

    fn rules(text: &str) -> Rules {
        Rules::new([text.parse().unwrap()], 0)
    }

    #[test]
    fn all_conditions_of_a_rule_must_hold() {
        let rules = rules("caller=Demo.* method=a.B.C uin=77");
        let uin = |key: &str| (key == "uin").then_some(&b"77"[..]);
        assert!(rules.dye(&asked("Demo.x", "a.B.C", 1), uin));
        assert!(!rules.dye(&asked("Demo.x", "a.B.D", 1), uin));
        assert!(!rules.dye(&asked("Other.x", "a.B.C", 1), uin));
        assert!(!rules.dye(&asked("Demo.x", "a.B.C", 1), |_| None));
        assert!(!rules.dye(&asked("Demo.x", "a.B.C", 1), |_| Some(b"78")));
        assert!(rules.dye_by(&asked("Demo.x", "a.B.C", 1), "uin", "77"));
        assert!(!rules.dye_by(&asked("Demo.x", "a.B.C", 1), "other", "77"));
    }

    #[test]
    fn a_field_that_no_rule_wants_dyes_nothing() {
        assert!(!rules("percent=100").dye_by(&asked("", "", 1), "uin", "1"));
        assert!(Rules::default().is_empty());
        assert!(!Rules::default().dye(&asked("", "", 1), |_| None));
    }

    #[test]
    fn a_share_is_as_large_as_it_says_and_the_same_everywhere() {
        for (percent, parts) in [("0", 0), ("0.5", 5000), ("25", 250_000), ("100", MILLION)] {
            let rules = rules(&std::format!("percent={percent}"));
            for start in [1, 1 << 40, u64::MAX - 200_000] {
                let is_dyed = |flow_id: &u64| rules.dye(&asked("", "", *flow_id), |_| None);
                let count = (start..start + 100_000).filter(is_dyed).count() as u32;
                assert!(count.abs_diff(parts / 10) <= parts / 100, "{percent}: {count}");
            }
        }
    }

    #[test]
    fn a_rule_ends_when_its_time_is_over() {
        let rules = Rules::new(["method=m for=2m".parse().unwrap()], 1_000_000_000);
        let at = |now_ns| rules.dye(&Asked { now_ns, ..asked("", "m", 1) }, |_| None);
        assert!(at(1_000_000_000) && at(120_999_999_999));
        assert!(!at(121_000_000_000));
    }

    #[test]
    fn rules_beyond_the_bound_are_left_out() {
        let rule: Rule = "method=m".parse().unwrap();
        assert_eq!(Rules::new(std::vec![rule; 1000], 0).rules.len(), DYE_RULES_MAX);
    }

    #[test]
    fn a_rule_is_written_as_it_is_read() {
        for text in [
            "uin=11228491",
            "caller=Demo.shop method=shop.Stock.Count",
            "method=shop.Stock.* percent=0.5 for=10m",
            "percent=0.0001 tenant=blue for=2h",
            "percent=100 caller=a",
            "percent=0",
        ] {
            let rule: Rule = text.parse().unwrap();
            assert_eq!(rule.to_string().parse(), Ok(rule), "{text}");
        }
        let rule: Rule = "method=m percent=0.5 for=10m".parse().unwrap();
        assert_eq!(rule.to_string(), "method=m percent=0.5000 for=600s");
        let rules = Rules::new([rule, "uin=1".parse().unwrap()], 7);
        assert_eq!(rules.in_force(600_000_000_006).count(), 2);
        let left: Vec<_> = rules.in_force(600_000_000_007).map(|(_, until)| until).collect();
        assert_eq!(left, [0]);
    }

    #[test]
    fn texts_that_are_no_rule_say_why() {
        let check = |text: &str, expect| assert_eq!(text.parse::<Rule>(), Err(expect), "{text}");
        check("", BadRule::Empty);
        check("for=5m", BadRule::Empty);
        check("uin", BadRule::NoValue);
        check("=5", BadRule::NoValue);
        check("a=1 b=2", BadRule::SecondField);
        for percent in ["", "101", "1.", "1.23456", "-1", "x", "99999999999"] {
            check(&std::format!("percent={percent}"), BadRule::BadPercent);
        }
        for time in ["", "5", "m", "5d", "é", "99999999999999999999s"] {
            check(&std::format!("method=m for={time}"), BadRule::BadTime);
        }
        assert!(BadRule::Empty.to_string().contains("everything"));
        let rule: Rule = "percent=0.0001 for=2h".parse().unwrap();
        assert_eq!((rule.parts_per_million, rule.seconds), (1, 7200));
    }
}
