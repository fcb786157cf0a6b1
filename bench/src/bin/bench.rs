//! `bench`: the table of numbers. See the crate's documentation and `bench --help`.

use std::process::ExitCode;

use msec_bench::runner;

fn main() -> ExitCode {
    if std::env::args().any(|argument| argument == "--help") {
        println!("{}", runner::USAGE);
        return ExitCode::SUCCESS;
    }
    let options = match runner::Options::parse(lexopt::Parser::from_env()) {
        Ok(options) => options,
        Err(error) => {
            eprintln!("{error}\n{}", runner::USAGE);
            return ExitCode::from(2);
        }
    };
    match runner::run(&options) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => {
            eprintln!("some runs failed");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}
