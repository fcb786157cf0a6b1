//! The private copy of a plugin, or of a jar, that a generation of workers runs.
//!
//! Workers never map the file that people overwrite: to write into a file that is mapped changes
//! the code that runs. All workers of a generation, also those that are started anew, run the same
//! copy. It is beside the original, so that `$ORIGIN` means the same folder, and so do the paths in
//! the manifest of a jar. A JVM fails in its own ways when its jar is overwritten.

use std::fs;
use std::path::{Path, PathBuf};

use msec::{Code, Error, Result};

/// A copy; removed with the value.
pub(crate) struct PluginCopy {
    path: PathBuf,
}

impl PluginCopy {
    /// Copies `module`, a path from `bin`.
    ///
    /// # Errors
    /// -2 naming the file that is missing or cannot be copied.
    pub(crate) fn make(bin: &Path, module: &Path, generation: u32) -> Result<PluginCopy> {
        let source = bin.join(module);
        if !source.is_file() {
            let text = format!("the plugin {} is not there", tidy(&source));
            return Err(Error::new(Code::SYSTEM_ERROR, text));
        }
        let name = source.file_name().unwrap_or_default().to_string_lossy().into_owned();
        // Programs that look into jars know them by the end of their name.
        let name = match name.strip_suffix(".jar") {
            Some(name) => format!(".{name}.{generation}.jar"),
            None => format!(".{name}.{generation}"),
        };
        let path = source.with_file_name(name);
        // What a supervisor left that was killed may be mapped by a worker that lives on.
        let _ = fs::remove_file(&path);
        fs::copy(&source, &path).map_err(|error| {
            Error::from_io(&format!("copy {} to {}", tidy(&source), path.display()), &error)
        })?;
        Ok(PluginCopy { path })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

/// Whether a plugin exports this: it was written for a process that one thread runs. The supervisor
/// has to know before anything is loaded, for the sockets of a worker are one a core; and it never
/// runs a plugin's code. A name that a library exports stands in it between two NULs.
const ONE_CORE: &[u8] = b"\0msec_plugin_one_core\0";

/// See [`ONE_CORE`]; false where the file cannot be read.
pub(crate) fn wants_one_core(module: &Path) -> bool {
    let bytes = fs::read(module).unwrap_or_default();
    bytes.windows(ONE_CORE.len()).any(|window| window == ONE_CORE)
}

impl Drop for PluginCopy {
    fn drop(&mut self) {
        // Somebody may have cleaned up.
        let _ = fs::remove_file(&self.path);
    }
}

/// A path without `.` in it.
fn tidy(path: &Path) -> String {
    path.components().collect::<PathBuf>().display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plugin_for_one_core_is_known_by_what_it_exports() {
        let path = std::env::temp_dir().join(format!("msec-one-core-{}", std::process::id()));
        let check = |bytes: &[u8], expect| {
            fs::write(&path, bytes).unwrap();
            assert_eq!(wants_one_core(&path), expect);
        };
        check(b"\x7fELF\0msec_plugin_v1\0msec_plugin_one_core\0", true);
        check(b"\x7fELF\0msec_plugin_v1\0not_msec_plugin_one_core\0", false);
        fs::remove_file(&path).unwrap();
        assert!(!wants_one_core(&path));
    }

    #[test]
    fn a_copy_is_the_file_of_then_and_goes_with_its_owner() {
        let bin = std::env::temp_dir().join(format!("msec-plugin-{}", std::process::id()));
        fs::create_dir_all(&bin).unwrap();
        let module = Path::new("./msec.so");
        let missing = PluginCopy::make(&bin, module, 1).err().unwrap();
        let text = format!("the plugin {} is not there", bin.join("msec.so").display());
        assert_eq!(missing.message(), text);
        fs::write(bin.join("msec.so"), "one").unwrap();
        let copy = PluginCopy::make(&bin, module, 1).unwrap();
        fs::write(bin.join("msec.so"), "two").unwrap();
        assert_eq!(fs::read(copy.path()).unwrap(), b"one");
        assert_eq!(copy.path().parent(), Some(&*bin));
        fs::write(bin.join("msec.jar"), "one").unwrap();
        let jar = PluginCopy::make(&bin, Path::new("msec.jar"), 7).unwrap();
        assert_eq!(jar.path(), bin.join(".msec.7.jar"));
        let path = copy.path().to_owned();
        drop(copy);
        assert!(!path.exists());
        fs::remove_dir_all(&bin).unwrap();
    }
}
