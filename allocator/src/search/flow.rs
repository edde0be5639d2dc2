//! Whether demands can be met together from limited supplies.

/// A demand: how much is needed, and from which supplies, each with the most that may come from it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Demand {
    pub(crate) amount: u32,
    pub(crate) from: Vec<(u32, u32)>,
}

/// Whether every demand can be met. `supplies` are the amounts there are.
///
/// A maximum flow, found by repeatedly rerouting what earlier demands took.
pub(crate) fn satisfiable(demands: &[Demand], supplies: &[u32]) -> bool {
    let mut flow = Flow {
        demands,
        left: supplies.to_vec(),
        taken: demands.iter().map(|demand| vec![0; demand.from.len()]).collect(),
    };
    for (index, demand) in demands.iter().enumerate() {
        let mut missing = demand.amount;
        // What can be had without disturbing anybody comes first.
        for (edge, (supply, most)) in demand.from.iter().enumerate() {
            let amount = missing.min(*most).min(flow.left[*supply as usize]);
            flow.left[*supply as usize] -= amount;
            flow.taken[index][edge] += amount;
            missing -= amount;
        }
        while missing > 0 {
            if !flow.augment(index) {
                return false;
            }
            missing -= 1;
        }
    }
    true
}

struct Flow<'a> {
    demands: &'a [Demand],
    left: Vec<u32>,
    /// By demand, by edge.
    taken: Vec<Vec<u32>>,
}

impl Flow<'_> {
    /// Gets one more unit for a demand, breadth first over the demands that could give way.
    fn augment(&mut self, start: usize) -> bool {
        // For each reached demand: the demand and the edge that asked it to give way, and the edge it gives up.
        let mut reached: Vec<Option<(usize, usize, usize)>> = vec![None; self.demands.len()];
        let mut visited = vec![false; self.left.len()];
        let mut queue = vec![start];
        let mut next = 0;
        while let Some(&demand) = queue.get(next) {
            next += 1;
            for (edge, (supply, most)) in self.demands[demand].from.iter().enumerate() {
                let supply = *supply as usize;
                if self.taken[demand][edge] >= *most || std::mem::replace(&mut visited[supply], true) {
                    continue;
                }
                if self.left[supply] > 0 {
                    self.left[supply] -= 1;
                    self.reroute(start, demand, edge, &reached);
                    return true;
                }
                for (other, details) in self.demands.iter().enumerate() {
                    if other == start || reached[other].is_some() {
                        continue;
                    }
                    let mut edges = details.from.iter().enumerate();
                    let giving = edges
                        .find(|(index, (from, _))| *from as usize == supply && self.taken[other][*index] > 0);
                    if let Some((given_up, _)) = giving {
                        reached[other] = Some((demand, edge, given_up));
                        queue.push(other);
                    }
                }
            }
        }
        false
    }

    fn reroute(
        &mut self,
        start: usize,
        mut demand: usize,
        mut edge: usize,
        reached: &[Option<(usize, usize, usize)>],
    ) {
        loop {
            self.taken[demand][edge] += 1;
            if demand == start {
                return;
            }
            let Some((asking, asking_edge, given_up)) = reached[demand] else { return };
            self.taken[demand][given_up] -= 1;
            (demand, edge) = (asking, asking_edge);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn demand(amount: u32, from: &[(u32, u32)]) -> Demand {
        Demand { amount, from: from.to_vec() }
    }

    #[test]
    fn earlier_demands_give_way() {
        // The first takes supply 0, which is all the second can use.
        let demands = [demand(1, &[(0, 1), (1, 1)]), demand(1, &[(0, 1)])];
        assert!(satisfiable(&demands, &[1, 1]));
        assert!(!satisfiable(&demands, &[1, 0]));
    }

    #[test]
    fn giving_way_goes_over_several_demands() {
        let demands =
            [demand(1, &[(0, 1), (1, 1)]), demand(1, &[(1, 1), (2, 1)]), demand(1, &[(0, 1), (3, 0)])];
        assert!(satisfiable(&demands, &[1, 1, 1, 5]));
        assert!(!satisfiable(&demands, &[1, 1, 0, 5]));
    }

    #[test]
    fn the_most_from_one_supply_is_respected() {
        assert!(!satisfiable(&[demand(2, &[(0, 1)])], &[5]));
        assert!(satisfiable(&[demand(2, &[(0, 1), (1, 1)])], &[5, 5]));
        assert!(satisfiable(&[demand(0, &[])], &[]));
    }

    #[test]
    fn agrees_with_trying_everything() {
        // All instances with two demands over three supplies and small numbers.
        for code in 0_u32..3_u32.pow(8) {
            let digit = |place: u32| code / 3_u32.pow(place) % 3;
            let supplies = [digit(0), digit(1), 1];
            let demands = [
                demand(digit(2), &[(0, digit(3)), (2, 1)]),
                demand(digit(4), &[(0, digit(5)), (1, digit(6)), (2, digit(7))]),
            ];
            assert_eq!(
                satisfiable(&demands, &supplies),
                tried(&demands, &supplies),
                "{demands:?} {supplies:?}"
            );
        }
    }

    fn tried(demands: &[Demand], supplies: &[u32]) -> bool {
        let Some((first, rest)) = demands.split_first() else { return true };
        if first.amount == 0 {
            return tried(rest, supplies);
        }
        first.from.iter().enumerate().any(|(edge, (supply, most))| {
            let mut supplies = supplies.to_vec();
            if *most == 0 || supplies[*supply as usize] == 0 {
                return false;
            }
            supplies[*supply as usize] -= 1;
            let mut first = first.clone();
            first.amount -= 1;
            first.from[edge].1 -= 1;
            let mut demands = vec![first];
            demands.extend_from_slice(rest);
            tried(&demands, &supplies)
        })
    }
}
