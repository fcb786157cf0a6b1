//! Where a demo's services find each other.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

/// A file of routes, gone when this is dropped.
pub(crate) struct RoutesFile(pub(crate) PathBuf);

impl RoutesFile {
    /// Writes one with these services and the addresses of their instances.
    pub(crate) fn write(services: &[(&str, &[&str])]) -> Result<Self, String> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("msec-demo-{}-{number}.toml", std::process::id());
        let file = Self(std::env::temp_dir().join(name));
        let mut text = String::new();
        for (service, addresses) in services {
            text += &format!("[[service]]\nname = \"{service}\"\n");
            for address in *addresses {
                text += &format!("[[service.instance]]\naddress = \"{address}\"\n");
            }
        }
        std::fs::write(&file.0, text).map_err(|e| format!("{}: {e}", file.0.display()))?;
        Ok(file)
    }
}

impl Drop for RoutesFile {
    fn drop(&mut self) {
        // What is left in the folder for temporary files does no harm.
        let _ = std::fs::remove_file(&self.0);
    }
}
