//! Part `scheduler`: the real scheduler decides about random clusters, and every decision is made again from the
//! objects that there were before it.

use serde_json::{Value, json};

use crate::api::{Api, ApiError};
use crate::live::{self, Decision};
use crate::rows::Rows;
use crate::{generators, ours};

/// How often a cluster that shows a difference is tried with less.
const TRIES: usize = 60;

/// Compares `count` clusters of each family.
pub(crate) fn run(
    api: &Api,
    rows: &mut Rows,
    families: &[&str],
    count: u64,
    first: u64,
) -> Result<(), ApiError> {
    let options = ours::options().map_err(ApiError::Nowhere)?;
    for family in families {
        let (mut decisions, mut refused, mut devices, mut different) = (0, 0, 0, Vec::new());
        for seed in first..first + count {
            let objects = generators::objects(family, seed);
            let decided = live::decide(api, &objects)?;
            decisions += decided.len();
            refused += decided.iter().filter(|decision| decision.node.is_none()).count();
            let results = decided.iter().flat_map(|decision| decision.claims.values());
            devices += results.map(Vec::len).sum::<usize>();
            let mut found = decided.iter().filter_map(|one| Some((one, ours::difference(one, &options)?)));
            if let Some((decision, difference)) = found.next() {
                eprintln!("family {family}, seed {seed}, pod `{}`: {difference}", decision.pod);
                let small = shrink(api, objects, &options);
                rows.keep(&format!("scheduler-{family}-{seed}"), &report(decision, &difference, &small));
                different.push(seed);
            }
        }
        let compared = format!(
            "{count} clusters, {decisions} decisions ({refused} refusals with their message), {devices} devices"
        );
        // Random clusters without refusals or devices would show nothing.
        let shows = decisions > refused && refused > 0 && devices > 0;
        rows.add(&format!("decisions about random clusters, family {family}"), &compared, &different, shows);
    }
    Ok(())
}

fn report(decision: &Decision, difference: &str, small: &[Value]) -> Value {
    json!({
        "pod": decision.pod, "node": decision.node, "claims": decision.claims, "message": decision.message,
        "difference": difference, "before": decision.objects, "cluster": small,
    })
}

/// Leaves out objects as long as some decision still differs.
fn shrink(api: &Api, mut objects: Vec<Value>, options: &drayage_simulator::schedule::Options) -> Vec<Value> {
    let mut at = objects.len();
    for _ in 0..TRIES {
        if at == 0 {
            break;
        }
        at -= 1;
        let mut fewer = objects.clone();
        fewer.remove(at);
        // What refers to the object that was left out may be refused.
        let Ok(decided) = live::decide(api, &fewer) else { continue };
        if decided.iter().any(|decision| ours::difference(decision, options).is_some()) {
            objects = fewer;
        }
    }
    objects
}
