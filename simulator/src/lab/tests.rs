use std::collections::BTreeSet;
use std::fs::File;
use std::path::PathBuf;

use proptest::prelude::*;

use super::*;
use crate::import::openb::Table;

/// Numbers that Go 1.24 printed for `rand.New(rand.NewSource(seed))`.
#[test]
fn numbers_are_those_of_go() {
    let table = GoRandomTable::new();
    let drawn = |seed: i64| {
        let mut random = table.generator(seed);
        let numbers = [random.int63(), random.int63()];
        let float = random.float64();
        let small = [random.below(10), random.below(16)];
        let order = random.permutation(6);
        let mut items = [0, 1, 2, 3, 4, 5, 6, 7];
        random.shuffle(&mut items);
        for _ in 0..5000 {
            random.int63();
        }
        (numbers, float, small, order, items, random.int63())
    };
    assert_eq!(
        drawn(42),
        (
            [3_440_579_354_231_278_675, 608_747_136_543_856_411],
            0.604_093_851_558_642,
            [0, 15],
            vec![3, 5, 2, 4, 0, 1],
            [5, 4, 6, 7, 3, 0, 2, 1],
            7_009_235_927_276_087_967
        )
    );
    assert_eq!(
        drawn(-7),
        (
            [747_107_023_976_529_931, 7_084_732_931_963_018_726],
            0.758_477_249_230_642_1,
            [6, 11],
            vec![2, 4, 1, 3, 0, 5],
            [1, 2, 6, 3, 7, 0, 5, 4],
            640_216_824_076_826_578
        )
    );
    // Seeds are taken modulo 2^31 - 1, and 0 stands for another one.
    assert_eq!(drawn(0), drawn(2_147_483_647));
}

fn node(name: &str, cpu_milli: i64, gpus: usize, model: &str) -> TraceNode {
    TraceNode { name: name.to_owned(), cpu_milli, memory_mib: 262_144, gpus, model: model.to_owned() }
}

fn shape(cpu_milli: i64, gpus: usize, gpu_milli: i64, gpu_spec: &str) -> Shape {
    Shape { cpu_milli, gpu_milli, gpus, gpu_spec: gpu_spec.to_owned() }
}

fn pods(shapes: &[(usize, Shape)]) -> Vec<TracePod> {
    let mut pods = Vec::new();
    for (count, shape) in shapes {
        for _ in 0..*count {
            let name = format!("pod-{:04}", pods.len());
            let shape = shape.clone();
            pods.push(TracePod { name, shape, memory_mib: 1024, created: None, deleted: None });
        }
    }
    pods
}

#[test]
fn typical_shapes_cover_95_percent_and_larger_ones_come_first() {
    let pods = pods(&[
        (10, shape(1000, 1, 500, "")),
        (10, shape(2000, 1, 500, "")),
        (75, shape(4000, 1, 1000, "")),
        (5, shape(9000, 8, 1000, "")),
    ]);
    let typical = Typical::new(&pods);
    let shares: Vec<(i64, f64)> =
        typical.shapes().iter().map(|(shape, share)| (shape.cpu_milli, share * 95.0)).collect();
    assert_eq!(shares.iter().map(|&(cpu, _)| cpu).collect::<Vec<_>>(), [4000, 2000, 1000]);
    for ((_, share), wanted) in shares.iter().zip([75.0, 10.0, 10.0]) {
        assert!((share - wanted).abs() < 1e-9, "{share}");
    }
}

#[test]
fn a_fragment_is_what_typical_pods_cannot_use() {
    // Half of the pods want half a GPU, a quarter two whole ones, a quarter none.
    let pods =
        pods(&[(2, shape(1000, 1, 500, "")), (1, shape(1000, 2, 1000, "A100")), (1, shape(1000, 0, 0, ""))]);
    let typical = Typical::new(&pods);
    let fragment = |cpu_milli, gpus: &[i64], model| {
        typical.fragment(&Room { cpu_milli, memory_mib: 0, gpus: gpus.to_vec() }, model)
    };
    // A pod without GPUs can use none of them.
    assert!((fragment(64_000, &[1000, 1000], "A100") - 0.25 * 2000.0).abs() < 1e-9);
    // The second shape does not accept the model.
    assert!((fragment(64_000, &[1000, 1000], "T4") - 0.5 * 2000.0).abs() < 1e-9);
    // Only one GPU is idle, and 400 is too little for half a GPU.
    assert!((fragment(64_000, &[1000, 400], "A100") - (0.5 * 400.0 + 0.5 * 1400.0)).abs() < 1e-9);
    // Without CPUs nothing can be used.
    assert!((fragment(500, &[1000, 400], "A100") - 1400.0).abs() < 1e-9);
}

#[test]
fn a_run_depends_on_its_seed_alone() {
    let trace = Trace {
        nodes: vec![node("a", 64_000, 2, "T4"), node("b", 96_000, 8, "G2"), node("c", 32_000, 1, "P100")],
        pods: pods(&[(6, shape(4000, 1, 300, "")), (3, shape(8000, 1, 1000, ""))]),
    };
    let typical = Typical::new(&trace.pods);
    let table = GoRandomTable::new();
    for policy in Policy::ALL {
        for ties in [Ties::Lexical, Ties::Random] {
            let outcome = run(&trace, &typical, policy, ties, table.generator(42));
            assert_eq!(outcome, run(&trace, &typical, policy, ties, table.generator(42)), "{policy}");
            assert!(outcome.pods > trace.pods.len() && outcome.refused > 0, "{policy}: {outcome:?}");
        }
    }
}

#[test]
fn names_of_policies_are_read_in_any_case() {
    for policy in Policy::ALL {
        assert_eq!(policy.name().to_lowercase().parse(), Ok(policy));
    }
    assert!("worst".parse::<Policy>().unwrap_err().to_string().contains("`worst` is unknown"));
}

#[test]
fn published_figures_need_a_column_of_workloads_and_numbers() {
    let read = |text: &'static str| {
        Published::read(Table { name: "t.csv".to_owned(), content: text.as_bytes() })
            .map_err(|e| e.to_string())
    };
    let published = read("workload,FGD,other\nw,95.4,x\n").unwrap();
    assert_eq!(published.get("w", Policy::Fgd), Some(95.4));
    assert_eq!(published.get("w", Policy::Random), None);
    assert_eq!(read("FGD\n1\n"), Err("t.csv:1: column `workload` is missing".to_owned()));
    assert_eq!(read("workload,FGD\nw,many\n"), Err("t.csv:2: `FGD` is not a number: `many`".to_owned()));
}

/// The folder with the public tables, if this machine has them.
#[expect(clippy::print_stderr, reason = "what a test skips must be seen")]
fn datasets() -> Option<PathBuf> {
    let shared = std::env::var_os("DRAYAGE_SHARED")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared"), PathBuf::from);
    let folder = shared.join("datasets");
    if folder.is_dir() {
        return Some(folder);
    }
    eprintln!("SKIPPED: the tables of the openb trace are not in {}", folder.display());
    None
}

/// One run of each scored policy has the published curve: every figure of it within 0.01, which is how far the
/// rounding of means can differ.
#[test]
fn curves_are_those_of_the_study() {
    let Some(folder) = datasets() else { return };
    let table = |name: &str| Table {
        name: name.to_owned(),
        content: File::open(folder.join(name)).unwrap_or_else(|error| panic!("{name}: {error}")),
    };
    let trace =
        Trace::read(table("openb_node_list_gpu_node.csv"), table("openb_pod_list_gpuspec33.csv")).unwrap();
    let typical = Typical::new(&trace.pods);
    let random = GoRandomTable::new();
    let outcomes = Policy::ALL
        .map(|policy| (policy, run(&trace, &typical, policy, Ties::Lexical, random.generator(43))));
    let mut compared = 0;
    for (file, of) in [("analysis_allo_discrete.csv", 0), ("analysis_frag_discrete.csv", 1)] {
        let mut reader = csv::Reader::from_reader(table(file).content);
        let header = reader.headers().unwrap().clone();
        for record in reader.records().map(Result::unwrap) {
            let policy: Policy = record[1].split('-').nth(1).unwrap().parse().unwrap();
            let is_meant = &record[0] == "openb_pod_list_gpuspec33" && &record[3] == "43";
            if !is_meant || policy == Policy::Random {
                continue;
            }
            let (_, outcome) = outcomes.iter().find(|(of, _)| *of == policy).unwrap();
            for (demand, published) in header.iter().zip(&record) {
                let Ok(demand) = demand.parse::<usize>() else { continue };
                let ours = [&outcome.allocation, &outcome.fragment][of].at(demand).unwrap();
                let published: f64 = published.parse().unwrap();
                assert!((ours - published).abs() < 0.0101, "{policy} {demand}: {ours}, not {published}");
                compared += 1;
            }
        }
    }
    assert_eq!(compared, 2 * 5 * 131);
}

fn any_shape() -> impl Strategy<Value = Shape> {
    let gpus = prop_oneof![Just((0, 0)), (1_i64..=1000).prop_map(|milli| (1, milli)), Just((2, 1000))];
    (1_i64..20, gpus, prop_oneof![Just(""), Just("T4"), Just("T4|G2")]).prop_map(
        |(cpus, (gpus, milli), spec)| shape(cpus * 1000, gpus, milli, if gpus > 0 { spec } else { "" }),
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn runs_count_right_and_stay_within_the_cluster(
        gpus in prop::collection::vec((0_usize..=8, 0_usize..2), 1..6),
        shapes in prop::collection::vec((1_usize..4, any_shape()), 1..8),
        seed in any::<i64>(),
        random_ties in any::<bool>(),
    ) {
        let nodes = gpus.iter().enumerate().map(|(at, &(gpus, model))| {
            let model = if gpus > 0 { ["T4", "G2"][model] } else { "" };
            node(&format!("node-{at}"), 32_000, gpus, model)
        });
        let trace = Trace { nodes: nodes.collect(), pods: pods(&shapes) };
        let typical = Typical::new(&trace.pods);
        let ties = if random_ties { Ties::Random } else { Ties::Lexical };
        let table = GoRandomTable::new();
        let mut tried = BTreeSet::new();
        for policy in Policy::ALL {
            let outcome = run(&trace, &typical, policy, ties, table.generator(seed));
            prop_assert!(outcome.refused <= outcome.pods);
            prop_assert!(outcome.tied <= outcome.pods - outcome.refused);
            // The order of pods does not depend on the policy.
            tried.insert(outcome.pods);
            for demand in 0..=130 {
                let allocation = outcome.allocation.at(demand).unwrap_or(0.0);
                prop_assert!((0.0..=100.0).contains(&allocation), "{policy}: {allocation}");
                let fragment = outcome.fragment.at(demand).unwrap_or(0.0);
                prop_assert!((0.0..=100.0).contains(&fragment), "{policy}: {fragment}");
            }
        }
        prop_assert_eq!(tried.len(), 1);
    }
}
