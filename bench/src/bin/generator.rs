//! `generator --to ADDRESS:PORT …`: loads one server and prints what it measured as one line of
//! JSON.

use std::process::ExitCode;

use msec_bench::generator::{self, options};

fn main() -> ExitCode {
    let options = match options::Options::parse(lexopt::Parser::from_env()) {
        Ok(options) => options,
        Err(error) => {
            eprintln!("{error}\n{}", options::USAGE);
            return ExitCode::from(2);
        }
    };
    let report = match generator::run(&options) {
        Ok(report) => report,
        Err(error) => {
            eprintln!("generator towards {}: {error}", options.to);
            return ExitCode::FAILURE;
        }
    };
    println!("{}", serde_json::to_string(&report).expect("a report is plain numbers"));
    ExitCode::SUCCESS
}
