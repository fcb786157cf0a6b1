//! The service that the relay calls: three instances, of which two have a bad day.
//!
//! ```text
//!          calm │ b is slow │ calm │ c is killed │ c is back
//!               0,2         0,4    0,6           0,8           of the time
//! ```
//!
//! On a terminal, where there may be no end, a day takes twenty seconds and begins again.

use std::time::Duration;

use msec::{CallOptions, Client, Config, Engine};

use crate::service::Service;

/// How many instances there are.
pub(crate) const INSTANCES_COUNT: usize = 3;
/// Their names.
pub(crate) const NAMES: [&str; INSTANCES_COUNT] = ["a", "b", "c"];
/// A shorter run is too short for a bad day.
pub(crate) const SECONDS_LEAST: u64 = 5;
/// What the slow one takes longer for each answer.
pub(crate) const SLOW_MS: u64 = 50;
/// A day where no end is set.
const DAY_SECONDS: u64 = 20;

/// What happens at the moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Phase {
    Calm,
    Slow,
    CalmAgain,
    Dead,
    Revived,
}

impl Phase {
    /// The phase of a second, the first being 1, in a run of so many.
    pub(crate) fn of(second: u64, seconds: Option<u64>) -> Self {
        let day = seconds.unwrap_or(DAY_SECONDS);
        if day < SECONDS_LEAST {
            return Self::Calm;
        }
        match (second - 1) % day * 5 / day {
            0 => Self::Calm,
            1 => Self::Slow,
            2 => Self::CalmAgain,
            3 => Self::Dead,
            _ => Self::Revived,
        }
    }

    /// For people.
    pub(crate) fn text(self) -> String {
        match self {
            Self::Calm | Self::CalmAgain => String::new(),
            Self::Slow => format!("b takes {SLOW_MS} ms longer"),
            Self::Dead => "c was killed".into(),
            Self::Revived => "c is back".into(),
        }
    }
}

/// The instances.
pub(crate) struct Cluster {
    instances: [Option<Service>; INSTANCES_COUNT],
    addresses: [String; INSTANCES_COUNT],
    clients: [Client; INSTANCES_COUNT],
    served: [u64; INSTANCES_COUNT],
    phase: Phase,
    _engine: Engine,
}

impl Cluster {
    /// Starts the instances.
    pub(crate) fn start() -> Result<Self, String> {
        let started = NAMES.map(|_| start("127.0.0.1:0"));
        let [a, b, c] = started;
        let instances = [a?, b?, c?];
        let addresses = instances.each_ref().map(|instance| instance.address().to_owned());
        let config = Config::from_env().map_err(|error| error.to_string())?;
        let engine = Engine::with(config.cores(1)).map_err(|error| error.to_string())?;
        let client = |address: &String| Client::new(&engine, address).map_err(|e| e.to_string());
        let [a, b, c] = addresses.each_ref().map(client);
        let clients = [a?, b?, c?];
        Ok(Self {
            instances: instances.map(Some),
            addresses,
            clients,
            served: [0; INSTANCES_COUNT],
            phase: Phase::Calm,
            _engine: engine,
        })
    }

    /// Where they listen.
    pub(crate) fn addresses(&self) -> [&str; INSTANCES_COUNT] {
        self.addresses.each_ref().map(String::as_str)
    }

    /// Makes happen what is due; whether the phase is a new one.
    pub(crate) fn enter(&mut self, phase: Phase) -> Result<bool, String> {
        if phase == self.phase {
            return Ok(false);
        }
        let left = std::mem::replace(&mut self.phase, phase);
        if left == Phase::Slow {
            self.slow(1, 0)?;
        }
        let happened = match phase {
            Phase::Slow => self.slow(1, SLOW_MS),
            Phase::Dead => {
                // Dropped, it is killed.
                self.instances[2] = None;
                self.served[2] = 0;
                Ok(())
            }
            Phase::Revived => {
                self.instances[2] = Some(start(&self.addresses[2])?);
                Ok(())
            }
            Phase::Calm | Phase::CalmAgain => Ok(()),
        };
        happened.map(|()| true)
    }

    fn slow(&self, index: usize, slow_ms: u64) -> Result<(), String> {
        let body = slow_ms.to_string();
        let options = CallOptions::new();
        let called = self.clients[index].call_raw("demo.Instance.Slow", body.as_bytes(), &options);
        called.map(drop).map_err(|error| error.to_string())
    }

    /// How many calls each has answered since the last look.
    pub(crate) fn look(&mut self) -> [u64; INSTANCES_COUNT] {
        let mut recent = [0; INSTANCES_COUNT];
        for (index, recent) in recent.iter_mut().enumerate() {
            if self.instances[index].is_none() {
                continue;
            }
            let options = CallOptions::new().timeout(Duration::from_millis(500));
            let Ok(reply) = self.clients[index].call_raw("demo.Instance.Served", b"", &options)
            else {
                continue;
            };
            let text = String::from_utf8_lossy(&reply.body).into_owned();
            let served = text.parse().unwrap_or(0);
            *recent = served - self.served[index].min(served);
            self.served[index] = served;
        }
        recent
    }

    /// Ends them in order.
    pub(crate) fn stop(self) -> Result<(), String> {
        for instance in self.instances.into_iter().flatten() {
            instance.stop()?;
        }
        Ok(())
    }
}

fn start(listen: &str) -> Result<Service, String> {
    Service::start("instance", &["--listen", listen, "--cores", "1"])
}
