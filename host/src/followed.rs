//! What of config.ini holds as soon as it changes: the level of the log and the rules of dyeing.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use msec::Engine;
use msec::dye::Rule;

use crate::settings::Settings;
use crate::worker::sentence;

/// What of config.ini holds as soon as it changes.
pub(crate) struct Followed {
    path: PathBuf,
    changed: Option<SystemTime>,
}

impl Followed {
    pub(crate) fn new(path: PathBuf) -> Self {
        let changed = Self::time(&path);
        Self { path, changed }
    }

    fn time(path: &Path) -> Option<SystemTime> {
        fs::metadata(path).and_then(|metadata| metadata.modified()).ok()
    }

    pub(crate) fn look(&mut self, engine: &Engine) {
        let changed = Self::time(&self.path);
        if changed == self.changed {
            return;
        }
        self.changed = changed;
        let settings = match Settings::load(&self.path, 1) {
            Ok(settings) => settings,
            Err(error) => {
                let why = sentence(&error);
                eprintln!("msec-worker: config.ini changed, but says nonsense: {why}");
                return;
            }
        };
        let value = |name: &str| {
            let found = settings.variables.iter().find(|(known, _)| known == name);
            found.map_or("", |(_, value)| value.as_str())
        };
        if let Some((_, level)) =
            msec::log::Level::ALL.iter().find(|(name, _)| *name == value("MSEC_LOG"))
        {
            msec::log::set_level(*level);
        }
        let rules = value("MSEC_DYE").split(';').map(str::trim).filter(|rule| !rule.is_empty());
        let rules: Result<Vec<Rule>, _> = rules.map(str::parse).collect();
        if let Ok(rules) = rules {
            engine.set_dye_rules(rules);
        }
    }
}
