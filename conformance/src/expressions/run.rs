//! Runs many random expressions on both sides and reports what differs and what was covered.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Error, Write};
use std::path::PathBuf;

use drayage_cel::{Environment, ExpressionStage, Release};
use serde_json::json;

use super::answer::{Answer, Ours};
use super::case::{Case, Mode};
use super::compare::{Difference, difference, explanation};
use super::device;
use super::grammar::{Grammar, Overload, overloads};
use super::peer::Peer;
use super::shrink::shrink;
use super::tree::Expression;
use crate::random::Random;

/// Cases that are under way at the same time, all of one environment.
const BLOCK: usize = 500;
/// How often a case is asked again before a difference counts.
const REPETITIONS: usize = 250;
/// Differences that are made small and shown.
const SHOWN: usize = 60;

/// What to run.
#[derive(Clone, Debug)]
pub struct Options {
    /// The release.
    pub release: Release,
    /// The binary that answers for it.
    pub peer: PathBuf,
    /// Number of expressions.
    pub count: usize,
    /// Names the expressions.
    pub seed: u64,
    /// Other stages and gates than those of a scheduler too.
    pub all_environments: bool,
    /// Writes differences, as lines of JSON, to this file.
    pub differences: Option<PathBuf>,
    /// Writes one of so many cases with its answer, as lines of JSON, to a file.
    pub record: Option<(PathBuf, usize)>,
}

/// How often something was generated, compiled, and evaluated to a value.
#[derive(Clone, Copy, Debug, Default)]
pub struct Coverage {
    /// Generated.
    pub generated: usize,
    /// Compiled on both sides.
    pub compiled: usize,
    /// Evaluated without an error on both sides.
    pub evaluated: usize,
}

impl Coverage {
    fn add(&mut self, compiled: usize, evaluated: usize) {
        self.generated += 1;
        self.compiled += compiled;
        self.evaluated += evaluated;
    }
}

/// What a run found.
#[derive(Debug, Default)]
pub struct Summary {
    /// All cases.
    pub total: Coverage,
    /// Cases by mode.
    pub modes: BTreeMap<&'static str, usize>,
    /// Cases whose answer varies on the side of Go, and that one of the answers is ours.
    pub varying: usize,
    /// Cases that differ for a known reason, by reason.
    pub explained: BTreeMap<&'static str, usize>,
    /// Cases that differ.
    pub unexplained: BTreeMap<Difference, usize>,
    /// By overload and macro.
    pub functions: BTreeMap<String, Coverage>,
}

impl Summary {
    /// Prints it.
    pub fn write(&self, to: &mut dyn Write) -> Result<(), Error> {
        let Coverage { generated, compiled, evaluated } = self.total;
        writeln!(
            to,
            "{generated} expressions {:?}, {compiled} compile, {evaluated} have a value",
            self.modes
        )?;
        writeln!(to, "{} vary upstream from call to call and agree with one of the answers", self.varying)?;
        for (reason, count) in &self.explained {
            writeln!(to, "{count} differ: {reason}")?;
        }
        let unexplained: usize = self.unexplained.values().sum();
        writeln!(to, "{unexplained} differ without an explanation {:?}", self.unexplained)?;
        let mut rare: Vec<_> = self.functions.iter().collect();
        rare.sort_by_key(|(_, coverage)| coverage.evaluated);
        writeln!(to, "{} overloads and macros, the rarest by evaluations:", rare.len())?;
        for (name, coverage) in rare.iter().take(12) {
            writeln!(
                to,
                "  {name}: {} generated, {} compiled, {} evaluated",
                coverage.generated, coverage.compiled, coverage.evaluated
            )?;
        }
        Ok(())
    }
}

/// The environments of a release: that of its scheduler first.
fn environments(release: Release) -> Vec<Environment> {
    let stored = Environment {
        release,
        stage: ExpressionStage::Stored,
        consumable_capacity: release >= Release::V1_36,
        list_type_attributes: false,
    };
    let mut all = vec![stored];
    for stage in [ExpressionStage::Stored, ExpressionStage::New] {
        for (consumable_capacity, list_type_attributes) in
            [(false, false), (true, false), (false, true), (true, true)]
        {
            // The gate does not exist before.
            if !list_type_attributes || release >= Release::V1_36 {
                all.push(Environment { release, stage, consumable_capacity, list_type_attributes });
            }
        }
    }
    all
}

/// One case of a seed.
pub fn case(index: usize, random: &mut Random, environment: Environment, overloads: &[Overload]) -> Case {
    // The API server drops what a gate that is off would allow, but not what was stored before.
    let lists = environment.release >= Release::V1_36
        && random.percent(if environment.list_type_attributes || environment.release >= Release::V1_37 {
            80
        } else {
            5
        });
    let device = device::random(random, lists);
    let mode = match random.below(10) {
        0..6 => Mode::Selector,
        6 | 7 if environment.release >= Release::V1_37 => Mode::Attribute,
        _ => Mode::Value,
    };
    let depth = *random.pick(&[1, 2, 3, 4, 5, 6, 8]);
    let mut grammar = Grammar::new(random, overloads, &device);
    let type_ = match mode {
        Mode::Selector => drayage_cel::Type::Bool,
        Mode::Attribute => grammar.attribute_type(),
        Mode::Value => grammar.type_(2),
    };
    // One in three is a call of one function after the other, so that none is rare.
    let mut expression = if index.is_multiple_of(3) && mode != Mode::Attribute {
        let overload = &overloads[index / 3 % overloads.len()];
        grammar.call_of(overload, mode == Mode::Selector, depth.min(4))
    } else {
        grammar.expression(&type_, depth)
    };
    if random.per_mille(15) {
        expression = mutated(random, &expression);
    }
    let limit = (mode != Mode::Attribute && random.percent(8)).then(|| random.below(60) as u64);
    Case { expression, mode, environment, limit, device }
}

/// The text with a few characters changed, for the parser.
fn mutated(random: &mut Random, expression: &Expression) -> Expression {
    let mut text: Vec<char> = expression.text().chars().collect();
    for _ in 0..=random.below(2) {
        if text.is_empty() {
            break;
        }
        let at = random.below(text.len());
        match random.below(4) {
            0 => drop(text.remove(at)),
            1 => text.insert(
                at,
                *random.pick(&[
                    '(', ')', '.', '?', ',', '"', '-', '!', ' ', '0', 'e', '[', '{', ':', '\\', '\u{e9}',
                    '&', '=', '/', '`',
                ]),
            ),
            2 => text.swap(at, 0),
            _ => text.truncate(at),
        }
    }
    Expression::leaf(text.into_iter().collect::<String>(), expression.type_.clone())
}

/// Runs them all.
pub fn run(options: &Options, to: &mut dyn Write) -> Result<Summary, Error> {
    let mut peer = Peer::start(&options.peer)?;
    let mut ours = Ours::default();
    let mut summary = Summary::default();
    let mut differences = options.differences.as_ref().map(std::fs::File::create).transpose()?;
    let mut record = options.record.as_ref().map(|(path, _)| std::fs::File::create(path)).transpose()?;
    let environments = environments(options.release);
    let mut shown = BTreeSet::new();
    let mut shrunk = 0;
    let mut done = 0;
    while done < options.count {
        let block = BLOCK.min(options.count - done);
        let number = done / BLOCK;
        let environment = if options.all_environments {
            environments[number % environments.len()]
        } else {
            environments[0]
        };
        let table = overloads(ours.compiler(environment));
        let cases: Vec<Case> = (done..done + block)
            .map(|index| {
                let mut random =
                    Random::new(options.seed.wrapping_mul(0x1_0000_0001).wrapping_add(index as u64));
                case(index, &mut random, environment, &table)
            })
            .collect();
        for name in table.iter().map(|overload| &overload.id) {
            summary.functions.entry(name.clone()).or_default();
        }
        peer.send(&cases)?;
        let mut differing = Vec::new();
        for (at, case) in cases.iter().enumerate() {
            let our = ours.answer(case);
            let their = peer.receive()?;
            count(&mut summary, case, &our, &their);
            if difference(&our, &their).is_some() {
                differing.push(case);
            } else if let (Some(file), Some((_, every))) = (&mut record, &options.record)
                && (done + at) % every == 0
            {
                writeln!(file, "{}", json!({ "case": case.to_json(), "answer": their.to_json() }))?;
            }
        }
        // Only now that the peer has answered all others.
        for case in differing {
            let Some((kind, _)) = judge(&mut peer, &mut ours, case, &mut summary)? else { continue };
            *summary.unexplained.entry(kind).or_default() += 1;
            if shown.len() == SHOWN || shrunk == 5 * SHOWN {
                continue;
            }
            shrunk += 1;
            let mut failure = Ok(());
            let mut ignored = Summary::default();
            let small = shrink(case.clone(), &mut |candidate| match judge(
                &mut peer,
                &mut ours,
                candidate,
                &mut ignored,
            ) {
                Ok(found) => found.is_some_and(|(other, _)| other == kind),
                Err(error) => {
                    failure = Err(error);
                    false
                }
            });
            failure?;
            let our = ours.answer(&small);
            let their = peer.ask(&small)?;
            if !shown.insert((kind, shape(&small.expression.text()))) {
                continue;
            }
            writeln!(to, "{kind:?}: {}", small.expression.text())?;
            writeln!(to, "    case  {}", small.to_json())?;
            writeln!(to, "    ours  {}", our.to_json())?;
            writeln!(to, "    Go    {}", their.to_json())?;
            if let Some(file) = &mut differences {
                writeln!(file, "{}", json!({ "case": small.to_json(), "answer": their.to_json() }))?;
            }
        }
        done += block;
    }
    Ok(summary)
}

/// The text without what distinguishes differences that have one cause.
fn shape(text: &str) -> String {
    let mut shape = String::new();
    let mut quote = None;
    for c in text.chars() {
        match quote {
            Some(open) if c == open => quote = None,
            Some(_) => {}
            None if c == '"' || c == '\'' => quote = Some(c),
            None if c.is_ascii_digit() => {}
            None => shape.push(c),
        }
    }
    shape
}

fn count(summary: &mut Summary, case: &Case, our: &Answer, their: &Answer) {
    let compiled = usize::from(our.compile_error.is_none() && their.compile_error.is_none());
    let evaluated = usize::from(compiled == 1 && our.error.is_none() && their.error.is_none());
    *summary.modes.entry(case.mode.name()).or_default() += 1;
    let mut names = case.expression.uses();
    names.sort_unstable();
    names.dedup();
    for name in names {
        summary.functions.entry(name.to_owned()).or_default().add(compiled, evaluated);
    }
    summary.total.add(compiled, evaluated);
}

/// Whether a case really differs, and what Go says; counts what varies and what has an explanation.
fn judge(
    peer: &mut Peer,
    ours: &mut Ours,
    case: &Case,
    summary: &mut Summary,
) -> Result<Option<(Difference, Answer)>, Error> {
    let our = ours.answer(case);
    let their = peer.ask(case)?;
    let Some(kind) = difference(&our, &their) else { return Ok(None) };
    if let Some(reason) = explanation(case, &our, &their) {
        *summary.explained.entry(reason).or_default() += 1;
        return Ok(None);
    }
    // A compilation and its estimate never vary.
    if matches!(kind, Difference::Value | Difference::Error | Difference::Cost) {
        let answers = peer.repeatedly(case, REPETITIONS)?;
        if answers.iter().any(|answer| difference(&our, answer).is_none()) {
            summary.varying += 1;
            return Ok(None);
        }
        if answers.len() > 1 {
            *summary
                .explained
                .entry("maps iterate in random order upstream, and no answer of several is ours")
                .or_default() += 1;
            return Ok(None);
        }
    }
    Ok(Some((kind, their)))
}
