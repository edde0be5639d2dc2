//! `dray cel`: device-selector CEL, as the API server checks it and the scheduler evaluates it.

mod corpus;
mod device;
mod judgement;

use std::fmt::Write as _;
use std::path::Path;

use drayage_cel::{Compiler, ExpressionStage, MAX_COST};

use super::arguments::{Cel, CelCheck, CelEnvironment, CelEval, CelOutput, CelPurpose};
use super::exit::Exit;
use super::failure::{Complaint, Failure};
use super::kubernetes;
use super::output;
use super::source;
use super::terminal::{self, Terminal};
use judgement::{Compile, Judgement, Outcome, judge};

/// Runs one of the two.
pub(crate) fn run(typed: Cel, terminal: &Terminal) -> Result<Exit, Failure> {
    match typed {
        Cel::Check(typed) => check(typed, terminal),
        Cel::Eval(typed) => eval(typed, terminal),
    }
}

fn check(typed: CelCheck, terminal: &Terminal) -> Result<Exit, Failure> {
    let (compiler, compile) = environment(&typed.environment)?;
    let expression = expression(typed.expression)?;
    let judgement = judge(&compiler, compile, &expression, None);
    print(&judgement, typed.output, terminal)?;
    Ok(match judgement.outcome {
        Outcome::CompileError => Exit::No,
        _ if is_too_costly(&judgement) => Exit::No,
        _ => Exit::Yes,
    })
}

fn eval(typed: CelEval, terminal: &Terminal) -> Result<Exit, Failure> {
    let (compiler, compile) = environment(&typed.environment)?;
    let device = device::find(&typed.device, terminal)?;
    if let Some(path) = &typed.corpus {
        return corpus::run(path, &compiler, compile, &device, terminal);
    }
    let expression = expression(typed.expression.unwrap_or_default())?;
    let judgement = judge(&compiler, compile, &expression, Some(&device));
    print(&judgement, typed.output, terminal)?;
    Ok(match judgement.outcome {
        Outcome::True | Outcome::Value | Outcome::Compiles => Exit::Yes,
        Outcome::False | Outcome::RuntimeError => Exit::No,
        Outcome::CompileError => Exit::BadInput,
    })
}

/// The expression itself, or stdin's whole text without the newline at its end.
fn expression(typed: String) -> Result<String, Failure> {
    if typed != "-" {
        return Ok(typed);
    }
    let mut text = source::text(Path::new("-"))?;
    text.truncate(text.trim_end_matches(['\r', '\n']).len());
    Ok(text)
}

fn environment(typed: &CelEnvironment) -> Result<(Compiler, Compile), Failure> {
    let gates = kubernetes::gates(&typed.kubernetes)?;
    let stage = match typed.purpose {
        CelPurpose::New => ExpressionStage::New,
        CelPurpose::Stored | CelPurpose::Attribute => ExpressionStage::Stored,
    };
    let environment = kubernetes::cel_environment(&gates, stage);
    let compile: Compile = match typed.purpose {
        CelPurpose::Attribute => Compiler::compile_attribute,
        CelPurpose::New | CelPurpose::Stored => Compiler::compile_selector,
    };
    Ok((Compiler::new(environment), compile))
}

fn is_too_costly(judgement: &Judgement) -> bool {
    judgement.estimate.is_some_and(|estimate| estimate.max > MAX_COST)
}

fn print(judgement: &Judgement, format: CelOutput, terminal: &Terminal) -> Result<(), Failure> {
    if format == CelOutput::Json {
        return terminal.write(output::json_line(judgement)?.as_bytes());
    }
    let mut text = String::new();
    if let Some(value_type) = &judgement.value_type {
        let _ = writeln!(text, "type      {value_type}");
    }
    if let Some(estimate) = judgement.estimate {
        let _ = writeln!(text, "estimate  {} to {}", estimate.min, estimate.max);
    }
    if let Some(cost) = judgement.cost {
        let _ = writeln!(text, "cost      {cost}");
    }
    if let Some(value) = &judgement.value {
        let _ = writeln!(text, "value     {value}");
    }
    terminal.write(text.as_bytes())?;
    if let Some(message) = &judgement.message {
        let kind = match judgement.outcome {
            Outcome::CompileError => "the expression does not compile",
            _ => "evaluation failed",
        };
        let complaint = match &judgement.rendered {
            Some(rendered) => Complaint::new(kind).with_detail(rendered),
            None => Complaint::new(format!("{kind}: {message}")),
        };
        terminal::error(&complaint.render());
    } else if is_too_costly(judgement) {
        terminal::error(
            &Complaint::new(format!(
                "the estimated cost is above {MAX_COST}, the API server would refuse the expression"
            ))
            .with_hint("avoid comprehensions over values of unknown size")
            .render(),
        );
    }
    Ok(())
}
