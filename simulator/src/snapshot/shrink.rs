//! As few objects and fields as show a finding.
//!
//! Delta debugging: parts are taken away as long as the finding stays, first halves of the list of objects, then ever
//! smaller parts of it, then fields and items within the objects, the largest first. What is left cannot lose another
//! object or field without losing the finding, unless looking ended before.

use serde_json::Value;

use super::finding::Kept;
use crate::schedule::{Observer, Options};

/// What is left.
#[derive(Clone, Debug)]
pub struct Shrunk {
    /// The objects.
    pub objects: Vec<Value>,
    /// How often the finding was looked for.
    pub tried: usize,
    /// Whether looking ended because it was told to.
    pub limited: bool,
}

/// Takes away what a finding does not need. `most_tries` bounds how often it is looked for.
pub fn shrink(
    objects: Vec<Value>,
    kept: &Kept,
    options: &Options,
    most_tries: usize,
    observer: &mut dyn Observer,
) -> Shrunk {
    let options = Options { explain: false, ..options.clone() };
    let mut attempt = Attempts { kept, options: &options, tried: 0, most_tries, observer };
    let mut objects = attempt.fewer_objects(objects);
    loop {
        let before = size(&objects);
        objects = attempt.smaller_objects(objects);
        objects = attempt.fewer_objects(objects);
        if size(&objects) >= before || attempt.is_over() {
            break;
        }
    }
    let Attempts { tried, .. } = attempt;
    Shrunk { objects, tried, limited: tried >= most_tries }
}

struct Attempts<'a> {
    kept: &'a Kept,
    options: &'a Options,
    tried: usize,
    most_tries: usize,
    observer: &'a mut dyn Observer,
}

impl Attempts<'_> {
    fn is_over(&self) -> bool {
        self.tried >= self.most_tries
    }

    fn shows(&mut self, objects: &[Value]) -> bool {
        if self.is_over() || objects.is_empty() {
            return false;
        }
        self.tried += 1;
        self.observer.progress(self.tried, self.most_tries);
        self.kept.is_in(objects, self.options)
    }

    /// Takes away parts of the list, half of it at first.
    fn fewer_objects(&mut self, mut objects: Vec<Value>) -> Vec<Value> {
        let mut part = objects.len().div_ceil(2).max(1);
        loop {
            let mut start = 0;
            let mut taken = false;
            while start < objects.len() && !self.is_over() {
                let end = (start + part).min(objects.len());
                let mut fewer = objects.clone();
                fewer.drain(start..end);
                if self.shows(&fewer) {
                    objects = fewer;
                    taken = true;
                } else {
                    start = end;
                }
            }
            if self.is_over() || (part == 1 && !taken) {
                return objects;
            }
            if part > 1 {
                part = part.div_ceil(2).min(objects.len().max(1));
            }
        }
    }

    /// Takes away fields and items within the objects, outer ones first.
    fn smaller_objects(&mut self, mut objects: Vec<Value>) -> Vec<Value> {
        for at in 0..objects.len() {
            let mut path: Vec<Step> = Vec::new();
            self.within(&mut objects, at, &mut path);
        }
        objects
    }

    /// Takes away what is in one place, member by member, and looks into what has to stay.
    fn within(&mut self, objects: &mut Vec<Value>, at: usize, path: &mut Vec<Step>) {
        let Some(place) = objects.get(at).and_then(|object| follow(object, path)) else { return };
        let members: Vec<Step> = match place {
            Value::Object(fields) => {
                let needed = |key: &str| path.is_empty() && ["apiVersion", "kind", "metadata"].contains(&key);
                fields.keys().filter(|key| !needed(key)).cloned().map(Step::Field).collect()
            }
            Value::Array(items) => (0..items.len()).rev().map(Step::Item).collect(),
            _ => return,
        };
        for member in members {
            if self.is_over() {
                return;
            }
            path.push(member);
            let mut smaller = objects.clone();
            let removed = smaller.get_mut(at).is_some_and(|object| remove(object, path));
            if removed && self.shows(&smaller) {
                *objects = smaller;
            } else {
                self.within(objects, at, path);
            }
            path.pop();
        }
        if path.is_empty() {
            path.push(Step::Field("metadata".to_owned()));
            self.within(objects, at, path);
            path.pop();
        }
    }
}

/// One step from a value to one in it.
#[derive(Clone, Debug)]
enum Step {
    Field(String),
    Item(usize),
}

fn follow<'v>(value: &'v Value, path: &[Step]) -> Option<&'v Value> {
    path.iter().try_fold(value, |value, step| match step {
        Step::Field(key) => value.get(key.as_str()),
        Step::Item(index) => value.get(*index),
    })
}

fn remove(value: &mut Value, path: &[Step]) -> bool {
    let Some((last, parents)) = path.split_last() else { return false };
    let parent = parents.iter().try_fold(value, |value, step| match step {
        Step::Field(key) => value.get_mut(key.as_str()),
        Step::Item(index) => value.get_mut(*index),
    });
    match (parent, last) {
        (Some(Value::Object(fields)), Step::Field(key)) => fields.remove(key).is_some(),
        (Some(Value::Array(items)), Step::Item(index)) if *index < items.len() => {
            items.remove(*index);
            true
        }
        _ => false,
    }
}

/// How many values there are.
fn size(objects: &[Value]) -> usize {
    fn of(value: &Value) -> usize {
        1 + match value {
            Value::Object(fields) => fields.values().map(of).sum(),
            Value::Array(items) => items.iter().map(of).sum(),
            _ => 0,
        }
    }
    objects.iter().map(of).sum()
}
