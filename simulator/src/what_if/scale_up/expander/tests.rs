//! The expanders, with the cases of their own tests and documentation re-created.

use super::*;

const GIB: i64 = 1 << 30;

fn offer(group: &str, nodes: usize, pods: usize, cpu: i64, memory: i64) -> Offer {
    Offer {
        group: group.to_owned(),
        nodes,
        pods,
        node_milli_cpu: cpu,
        node_memory: memory,
        pods_milli_cpu: 500,
        pods_memory: GIB,
        ..Offer::default()
    }
}

fn taken(offers: &[Offer], chain: &[Expander]) -> Vec<String> {
    let choice = choose(offers, chain, &ExpanderContext::default(), None).unwrap();
    choice.equal.iter().map(|&at| offers[at].group.clone()).collect()
}

#[test]
fn names_round_trip() {
    for name in ["least-waste", "most-pods", "least-nodes", "price", "priority", "random"] {
        assert_eq!(name.parse::<Expander>().unwrap().to_string(), name);
    }
    assert!("cheapest".parse::<Expander>().is_err());
}

#[test]
fn least_waste_counts_cpu_and_memory() {
    let balanced = offer("balanced", 1, 1, 16_000, 32 * GIB);
    let high_memory = offer("high-memory", 1, 1, 16_000, 64 * GIB);
    let high_cpu = offer("high-cpu", 1, 1, 32_000, 32 * GIB);
    let low = offer("low", 1, 1, 1_000, 2 * GIB);
    let all = [balanced.clone(), high_memory, high_cpu, low];
    assert_eq!(taken(&all, &[Expander::LeastWaste]), ["low"]);
    assert_eq!(taken(&all[..3], &[Expander::LeastWaste]), ["balanced"]);
    assert_eq!(waste(&balanced), (15_500.0 / 16_000.0, 31.0 / 32.0));
}

#[test]
fn a_chain_narrows_down_what_is_left() {
    let offers = [
        offer("a", 2, 10, 8_000, 32 * GIB),
        offer("b", 1, 9, 8_000, 32 * GIB),
        offer("c", 3, 10, 8_000, 32 * GIB),
    ];
    assert_eq!(taken(&offers, &[Expander::MostPods]), ["a", "c"]);
    assert_eq!(taken(&offers, &[Expander::MostPods, Expander::LeastNodes]), ["a"]);
    assert_eq!(taken(&offers, &[Expander::LeastNodes, Expander::MostPods]), ["b"]);
}

#[test]
fn ties_go_to_the_first_name_or_to_the_seed() {
    let offers = [offer("b", 1, 1, 8_000, GIB), offer("a", 1, 1, 8_000, GIB)];
    let context = ExpanderContext::default();
    let chosen = |seed| choose(&offers, &[Expander::LeastNodes], &context, seed).unwrap();
    assert_eq!(chosen(None), Choice { taken: 1, equal: vec![0, 1] });
    let drawn: std::collections::BTreeSet<usize> = (0..20).map(|seed| chosen(Some(seed)).taken).collect();
    assert_eq!(drawn.len(), 2);
    assert_eq!(chosen(Some(7)), chosen(Some(7)));
}

#[test]
fn the_table_of_priorities_counts_the_highest_match_of_a_name() {
    let offers =
        [offer("gpu-spot", 1, 1, 8_000, GIB), offer("gpu", 1, 1, 8_000, GIB), offer("cpu", 1, 1, 8_000, GIB)];
    let mut context = ExpanderContext::default();
    let chosen = |context: &ExpanderContext| {
        let choice = choose(&offers, &[Expander::Priority], context, None).unwrap();
        choice.equal.iter().map(|&at| offers[at].group.clone()).collect::<Vec<_>>()
    };
    assert_eq!(chosen(&context).len(), 3, "nothing is in the table, so nothing is filtered");
    context.priorities.add(10, "^gpu").unwrap();
    context.priorities.add(20, "spot$").unwrap();
    assert_eq!(chosen(&context), ["gpu-spot"]);
    context.priorities.add(30, "cpu").unwrap();
    assert_eq!(chosen(&context), ["cpu"]);
}

#[test]
fn price_prefers_cheap_nodes_of_the_right_size() {
    let priced = |group: &str, price: f64, cpu: i64| Offer {
        node_price: Some(price),
        ..offer(group, 1, 1, cpu, 4 * GIB)
    };
    let chain = [Expander::Price];
    assert_eq!(taken(&[priced("dear", 2.0, 1_000), priced("cheap", 1.0, 1_000)], &chain), ["cheap"]);
    // Eight times too big is eight times as unfit.
    assert_eq!(taken(&[priced("fit", 2.0, 1_000), priced("big", 1.0, 8_000)], &chain), ["fit"]);
    // The GPU label outweighs any price.
    let labelled = Offer { has_gpu_label: true, ..priced("gpu", 0.1, 1_000) };
    assert_eq!(taken(&[labelled, priced("plain", 20.0, 1_000)], &chain), ["plain"]);
    // Without a price there is no score.
    assert_eq!(
        taken(&[offer("unpriced", 1, 1, 1_000, GIB), priced("priced", 9.0, 1_000)], &chain),
        ["priced"]
    );
}
