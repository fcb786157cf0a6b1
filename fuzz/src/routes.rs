//! The file of routes, which people write by hand and which is read again while calls run.

use msec::naming::parse;
use msec_protocol::Code;
use msec_protocol::limits::{WEIGHT_MAX, WEIGHT_MIN};

/// Reads a file of routes. Either all of it is right and within bounds, or the error names a line
/// that the file has.
pub fn routes(input: &[u8]) {
    // The engine reads the file as text; what is none does not get this far.
    let text = String::from_utf8_lossy(input);
    let table = match parse(&text, "routes.toml") {
        Ok(table) => table,
        Err(error) => {
            assert_eq!(error.code(), Code::INVALID_PARAMETER);
            let told = error.message().strip_prefix("routes.toml:").expect("the file is named");
            let (line, problem) = told.split_once(": ").expect("a line and what is wrong there");
            let line: usize = line.parse().expect("a number");
            assert!((1..=text.matches('\n').count() + 1).contains(&line), "line {line}");
            assert!(!problem.trim().is_empty(), "nothing is said to be wrong");
            return;
        }
    };
    for service in table.iter() {
        assert_eq!(table.find(&service.name), Some(service));
        for instance in &service.instances {
            assert!((WEIGHT_MIN..=WEIGHT_MAX).contains(&instance.weight));
            let written = instance.address.to_string();
            assert_eq!(written.parse().as_ref(), Ok(&instance.address), "{written}");
        }
        if let Some(canary) = &service.canary {
            assert!(
                canary.parts <= msec_protocol::route::Canary::PARTS && !canary.labels.is_empty()
            );
        }
    }
}
