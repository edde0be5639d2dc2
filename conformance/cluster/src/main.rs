//! Compares Drayage with the control plane that `conformance/cluster/cluster` has started: `conformance-cluster PART
//! FOLDER [LENGTH]`, where what differs is kept in FOLDER.
#![expect(clippy::print_stderr, reason = "that is how it talks")]

mod agreement;
mod api;
mod costs;
mod generators;
mod kinds;
mod live;
mod mutate;
mod ours;
mod replay;
mod rows;
mod throughput;
mod what_if;

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [part, folder, rest @ ..] = arguments.as_slice() else {
        eprintln!("error: expected a part and a folder");
        return ExitCode::from(2);
    };
    let long = rest.first().is_some_and(|length| length == "long");
    let mut rows = rows::Rows::new(folder.into());
    let outcome = api::Api::connect().and_then(|api| match part.as_str() {
        "scheduler" => replay::run(&api, &mut rows, &["default", "extended"], if long { 150 } else { 25 }, 1),
        "api" => agreement::run(&api, &mut rows, if long { 100_000 } else { 10_000 }),
        "what-if" => what_if::run(&api, &mut rows, if long { 40 } else { 8 }),
        "throughput" => throughput::run(&api, &mut rows, if long { 500 } else { 100 }),
        other => Err(api::ApiError::Nowhere(format!("unknown part `{other}`"))),
    });
    if let Err(error) = &outcome {
        eprintln!("error: {error}");
    }
    ExitCode::from(u8::from(outcome.is_err() || rows.failed()))
}
