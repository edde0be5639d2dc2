//! The process of a release that answers with the real code.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, BufWriter, Error, ErrorKind, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;

use super::answer::Answer;
use super::case::Case;

/// A peer that answers expressions, line by line.
pub struct Peer {
    process: Child,
    input: BufWriter<ChildStdin>,
    answers: Receiver<String>,
}

impl Peer {
    /// Starts the binary of a release.
    pub fn start(binary: &Path) -> Result<Self, Error> {
        let mut process =
            Command::new(binary).arg("expressions").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let (Some(input), Some(output)) = (process.stdin.take(), process.stdout.take()) else {
            return Err(Error::other("the peer has no pipes"));
        };
        let (sender, answers) = sync_channel(10_000);
        // Reads ahead, so that neither side waits for the other with a full pipe.
        thread::spawn(move || {
            for line in BufReader::with_capacity(1 << 20, output).lines() {
                let Ok(line) = line else { break };
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Ok(Self { process, input: BufWriter::with_capacity(1 << 20, input), answers })
    }

    /// Sends cases without waiting. Ask for as many answers, in the same order.
    pub fn send<'c>(&mut self, cases: impl IntoIterator<Item = &'c Case>) -> Result<(), Error> {
        for case in cases {
            serde_json::to_writer(&mut self.input, &case.to_json())?;
            self.input.write_all(b"\n")?;
        }
        self.input.flush()
    }

    /// The next answer.
    pub fn receive(&mut self) -> Result<Answer, Error> {
        let line = self
            .answers
            .recv()
            .map_err(|_| Error::new(ErrorKind::UnexpectedEof, "the peer ended before it had answered"))?;
        Ok(Answer::from_json(&serde_json::from_str(&line)?))
    }

    /// The answer to one case.
    pub fn ask(&mut self, case: &Case) -> Result<Answer, Error> {
        self.send([case])?;
        self.receive()
    }

    /// Different answers to the same case, most frequent first: what iterates over a map varies.
    pub fn repeatedly(&mut self, case: &Case, times: usize) -> Result<Vec<Answer>, Error> {
        self.send(std::iter::repeat_n(case, times))?;
        let mut found: HashMap<String, (usize, Answer)> = HashMap::new();
        for _ in 0..times {
            let answer = self.receive()?;
            found.entry(answer.to_json().to_string()).or_insert((0, answer)).0 += 1;
        }
        let mut found: Vec<(usize, Answer)> = found.into_values().collect();
        found.sort_by_key(|(count, _)| std::cmp::Reverse(*count));
        Ok(found.into_iter().map(|(_, answer)| answer).collect())
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
