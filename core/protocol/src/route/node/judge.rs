//! Judgement of an instance by its calls: the factors of success and speed.
//!
//! All of it is comparison: with what the others did in the same seconds, and with what luck would
//! do. Where there is nothing to compare with, nobody is lowered.
use super::{Cause, Counts, Node, SLOW_FACTOR, Turn};

/// Least time between two judgements, in nanoseconds.
const WINDOW_NS_MIN: u64 = 200_000_000;
/// A slower instance is judged by single calls after so long, so that it may come back.
const WINDOW_NS_LONG: u64 = 1_000_000_000;
/// Fewer ended calls are no ratio.
const WINDOW_COUNT_MIN: u32 = 10;
/// Below it an instance is ejected instead of getting ever less.
const SUCCESS_LEAST: f32 = 0.1;
const SPEED_LEAST: f32 = 0.05;
/// Calls that an instance is taken to have had at the others' ratio, besides its own.
const PRIOR: f32 = 3.0;
/// Answers after which a lowered instance of few calls has all of its success back.
const RECOVER: f32 = 30.0;

impl Node {
    /// Between windows: a failure lowers the factor of success to what the last seconds make
    /// likely, an answer raises it a little. Of few calls, one that fails while the others' do not
    /// says much; of many, little.
    pub(super) fn weigh(&mut self, counts: &Counts, turn: &Turn<'_>) {
        if counts.failed > 0 && self.is_worse(turn) {
            let others = turn.climate.recent.without(&self.recent);
            let good = 1.0 - others.failure_ratio();
            let seen = self.recent.ended - self.recent.failed + PRIOR * good;
            let ratio = seen / (self.recent.ended + PRIOR) / good.max(0.01);
            self.success = self.success.min(eighth_power(ratio).max(SUCCESS_LEAST));
        } else if counts.answered > 0 && self.success < 1.0 {
            let step = counts.answered as f32 / (RECOVER + self.recent.ended);
            self.success = (self.success + step).min(1.0);
        }
    }

    /// Whether it fails while others, of whom enough is known, do clearly less.
    pub(super) fn is_worse(&self, turn: &Turn<'_>) -> bool {
        let others = turn.climate.recent.without(&self.recent);
        let expected = self.recent.ended * others.failure_ratio();
        !turn.climate.protective && others.ended >= PRIOR && self.recent.failed > 3.0 * expected
    }

    /// Looks at the window and starts a new one, if its time has come.
    pub(super) fn judge(&mut self, now_ns: u64, turn: &Turn<'_>) {
        let age_ns = now_ns.saturating_sub(self.window_ns);
        let enough = self.window.ended >= WINDOW_COUNT_MIN;
        let slow = self.speed < 1.0 && self.window.answered > 0 && age_ns >= WINDOW_NS_LONG;
        if age_ns < WINDOW_NS_MIN || !(enough || slow) {
            return;
        }
        if self.window.answered > 0 {
            self.judge_speed(turn);
        }
        self.judge_success(now_ns, turn);
    }

    pub(super) fn judge_speed(&mut self, turn: &Turn<'_>) {
        let others = turn.climate.recent.without(&self.recent);
        let own_ns = self.window.latency_ns as f32 / self.window.answered as f32;
        let Some(others_ns) = others.mean_ns() else { return };
        let ratio = own_ns / others_ns.max(1.0);
        let fair = if ratio <= SLOW_FACTOR { 1.0 } else { (SLOW_FACTOR / ratio).max(SPEED_LEAST) };
        if fair >= self.speed {
            self.speed = fair.min(self.speed + 0.25);
        } else if !turn.climate.protective {
            self.speed = fair;
        }
    }

    /// Lowers or raises the factor of success, and begins a new window.
    pub(super) fn judge_success(&mut self, now_ns: u64, turn: &Turn<'_>) {
        let window = core::mem::take(&mut self.window);
        self.window_ns = now_ns;
        let (ended, failed) = (window.ended as f32, window.failed as f32);
        let others = turn.climate.recent.without(&self.recent);
        let expected = ended * others.failure_ratio();
        // Worse by as much again, and by three standard deviations.
        let surplus = failed - 2.0 * expected;
        let bad = surplus > 0.0 && surplus * surplus > 9.0 * (expected + 1.0);
        let refused = window.refused as f32 / ended.max(1.0);
        if bad && !turn.climate.protective {
            self.success *= eighth_power(1.0 - failed / ended);
        } else if refused > 0.05 && !turn.climate.protective {
            self.success = (self.success * (1.0 - refused / 2.0)).max(2.0 * SUCCESS_LEAST);
        } else if !bad {
            self.success = (self.success * 1.25 + 0.05).min(1.0);
        }
        if self.success < SUCCESS_LEAST {
            self.eject(Cause::Failing, now_ns, turn);
        }
    }
}

fn eighth_power(number: f32) -> f32 {
    let square = number * number;
    let fourth = square * square;
    fourth * fourth
}
