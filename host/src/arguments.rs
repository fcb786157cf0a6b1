//! What a worker is started with: texts of the form `--name=value`, which a plugin's worker has as
//! arguments and a JVM as properties.

use std::os::fd::RawFd;
use std::path::{Path, PathBuf};

use msec::{Code, Error, Result};

use crate::place::Place;
use crate::settings::{Settings, Tls};

/// What a worker is started with: its arguments, taken apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Arguments {
    pub(crate) service: String,
    pub(crate) plugin: PathBuf,
    pub(crate) config: PathBuf,
    pub(crate) conf: String,
    pub(crate) index: usize,
    /// Each with an address and the numbers of its sockets.
    pub(crate) listen: Vec<String>,
    pub(crate) admin: Vec<String>,
    pub(crate) tls: Option<Tls>,
    pub(crate) control: RawFd,
    pub(crate) recent: RawFd,
    /// Where connections go that are given to those who come next, and where they come from.
    pub(crate) heirs: RawFd,
    pub(crate) inherits: RawFd,
}

impl Arguments {
    /// The arguments to start a worker with, but for the numbers of descriptors of its own.
    pub(crate) fn to_start(
        place: &Place,
        settings: &Settings,
        index: usize,
        plugin: &Path,
        sockets: &[String],
    ) -> Vec<String> {
        let mut arguments = vec![
            format!("--service={}", place.service()),
            format!("--plugin={}", plugin.display()),
            format!("--config={}", place.config().display()),
            format!("--conf={}", settings.conf),
            format!("--index={index}"),
        ];
        arguments.extend(sockets.iter().map(|text| format!("--listen={text}")));
        let admin = settings.admin.iter().map(|address| address.counted_up(index));
        arguments.extend(admin.map(|address| format!("--admin={address}")));
        if let Some(Tls { certificate, key, client_ca }) = &settings.tls {
            arguments.push(format!("--certificate={}", certificate.display()));
            arguments.push(format!("--key={}", key.display()));
            arguments.extend(client_ca.iter().map(|ca| format!("--client-ca={}", ca.display())));
        }
        arguments
    }

    /// Takes arguments apart.
    ///
    /// # Errors
    /// -1 for one that is none of ours.
    pub(crate) fn parse(texts: &[String]) -> Result<Arguments> {
        let mut arguments = Arguments::default();
        let (mut certificate, mut key, mut client_ca) = (None, None, None);
        for text in texts {
            let wrong = || {
                let text =
                    format!("`{text}` is no argument of a worker: `msec host start` starts it");
                Error::new(Code::INVALID_PARAMETER, text)
            };
            let (name, value) = text.split_once('=').ok_or_else(wrong)?;
            let number = || value.parse::<i32>().map_err(|_| wrong());
            match name {
                "--service" => arguments.service = value.into(),
                "--plugin" => arguments.plugin = value.into(),
                "--config" => arguments.config = value.into(),
                "--conf" => arguments.conf = value.into(),
                "--index" => arguments.index = number()? as usize,
                "--listen" => arguments.listen.push(value.into()),
                "--admin" => arguments.admin.push(value.into()),
                "--certificate" => certificate = Some(PathBuf::from(value)),
                "--key" => key = Some(PathBuf::from(value)),
                "--client-ca" => client_ca = Some(PathBuf::from(value)),
                "--control" => arguments.control = number()?,
                "--recent" => arguments.recent = number()?,
                "--heirs" => arguments.heirs = number()?,
                "--inherits" => arguments.inherits = number()?,
                _ => return Err(wrong()),
            }
        }
        if let (Some(certificate), Some(key)) = (certificate, key) {
            arguments.tls = Some(Tls { certificate, key, client_ca });
        }
        Ok(arguments)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ini::Ini;

    #[test]
    fn what_a_worker_is_started_with_is_what_it_reads() {
        let place = Place::of(Path::new("/msec"), "Demo.echo").unwrap();
        let text = "[SRPC]\nconf=../etc/a=b\nadmin=127.0.0.1:9000/tcp\n[TLS]\ncertificate=c\nkey=k";
        let settings = Settings::of(&Ini::parse(text).unwrap(), 1).unwrap();
        let sockets = ["0.0.0.0:7963=5,6".to_owned()];
        let mut texts = Arguments::to_start(&place, &settings, 2, Path::new("/p.so"), &sockets);
        texts.extend(["--control=9", "--recent=8", "--heirs=7", "--inherits=6"].map(str::to_owned));
        let arguments = Arguments::parse(&texts).unwrap();
        assert_eq!(
            (arguments.service.as_str(), arguments.conf.as_str()),
            ("Demo.echo", "../etc/a=b")
        );
        assert_eq!(arguments.index, 2);
        assert_eq!((arguments.control, arguments.recent), (9, 8));
        assert_eq!((arguments.heirs, arguments.inherits), (7, 6));
        assert_eq!(arguments.listen, sockets);
        assert_eq!(arguments.admin, ["127.0.0.1:9002"]);
        assert_eq!(arguments.tls.unwrap().key, Path::new("k"));
        let error = Arguments::parse(&["--help".to_owned()]).unwrap_err();
        assert!(error.message().contains("`msec host start` starts it"));
    }
}
