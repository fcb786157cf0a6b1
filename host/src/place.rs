//! Where a service lives: `<root>/<L1>/<L2>/{bin,etc,log}`, as the original had it below `/msec`.

use std::path::{Component, Path, PathBuf};

use msec::{Code, Error, Result};

/// Where services are unless something else is said.
pub const ROOT: &str = "/msec";

/// The folder of one service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    service: String,
    folder: PathBuf,
}

impl Place {
    /// The folder of `L1.L2` below `root`, as an absolute path.
    ///
    /// # Errors
    /// -1 for a name that is none.
    pub fn of(root: &Path, service: &str) -> Result<Place> {
        let wrong = || {
            let text = format!("`{service}` is no service: First.second, of letters, digits, _, -");
            Error::new(Code::INVALID_PARAMETER, text)
        };
        let (first, second) = service.split_once('.').ok_or_else(wrong)?;
        let is_name = |name: &str| {
            let fits = |letter: char| letter.is_ascii_alphanumeric() || "_-".contains(letter);
            !name.is_empty() && name.len() <= 64 && name.chars().all(fits)
        };
        if !is_name(first) || !is_name(second) {
            return Err(wrong());
        }
        let folder = root.join(first).join(second);
        let folder = std::path::absolute(&folder)
            .map_err(|error| Error::from_io(&format!("find {}", folder.display()), &error))?;
        Ok(Place { service: service.into(), folder })
    }

    /// The service whose folder `inside` is or is in: `…/L1/L2/bin` and so on. `None` where no such
    /// folder is on the way up.
    pub fn around(inside: &Path) -> Option<(PathBuf, String)> {
        let is_service =
            |folder: &&Path| folder.join("bin").is_dir() && folder.join("etc").is_dir();
        let folder = inside.ancestors().find(is_service)?;
        let mut names = folder.components().rev();
        let (Some(Component::Normal(second)), Some(Component::Normal(first))) =
            (names.next(), names.next())
        else {
            return None;
        };
        let service = format!("{}.{}", first.to_str()?, second.to_str()?);
        Some((folder.parent()?.parent()?.to_owned(), service))
    }

    /// `L1.L2`.
    pub fn service(&self) -> &str {
        &self.service
    }

    /// The folder itself.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The programs and libraries of the service.
    pub fn bin(&self) -> PathBuf {
        self.folder.join("bin")
    }

    /// Its log, what its processes print, and reports of crashes.
    pub fn log(&self) -> PathBuf {
        self.folder.join("log")
    }

    /// What is there only while it runs.
    pub fn run(&self) -> PathBuf {
        self.folder.join("run")
    }

    /// Its one configuration file.
    pub fn config(&self) -> PathBuf {
        self.folder.join("etc/config.ini")
    }

    /// Where the supervisor is spoken to.
    pub fn control(&self) -> PathBuf {
        self.run().join("control.sock")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_has_two_names_that_are_folders() {
        let place = Place::of(Path::new("/msec"), "Demo.echo").unwrap();
        assert_eq!(place.bin(), Path::new("/msec/Demo/echo/bin"));
        assert_eq!(place.config(), Path::new("/msec/Demo/echo/etc/config.ini"));
        for bad in ["Demo", "Demo.", ".echo", "a.b.c", "a.b/c", "..", "a b.c", ""] {
            assert!(Place::of(Path::new("/msec"), bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_folder_that_one_is_in_tells_the_service() {
        let root = std::env::temp_dir().join(format!("msec-place-{}", std::process::id()));
        let folder = root.join("Demo/echo");
        std::fs::create_dir_all(folder.join("bin/lib")).unwrap();
        std::fs::create_dir_all(folder.join("etc")).unwrap();
        let expect = Some((root.clone(), "Demo.echo".to_owned()));
        for inside in ["", "bin", "bin/lib", "etc"] {
            assert_eq!(Place::around(&folder.join(inside)), expect, "{inside}");
        }
        assert_eq!(Place::around(&root), None);
        std::fs::remove_dir_all(&root).unwrap();
    }
}
