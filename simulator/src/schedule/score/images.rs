//! Score of plugin ImageLocality: nodes that have the pod's images already.

use std::sync::Arc;

use drayage_allocator::persistent::Map;
use drayage_cluster::objects::{Node, Pod};

use super::MOST;

const MEBIBYTE: i64 = 1 << 20;
/// Images smaller than this together do not count.
const LEAST_BYTES: i64 = 23 * MEBIBYTE;
/// More than this for each container counts no more.
const MOST_BYTES: i64 = 1000 * MEBIBYTE;

/// The images that nodes report: by name the size, as the first node has it, and how many nodes have it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Images {
    known: Map<Arc<str>, (i64, usize)>,
}

impl Images {
    /// Whether no node reports images.
    pub(crate) fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// Takes note of a node's images.
    pub(crate) fn add(&mut self, node: &Node) {
        for (names, size) in &node.images {
            for name in names {
                let (size, nodes) = self.known.get(name.as_str()).copied().unwrap_or((*size, 0));
                self.known.insert(Arc::from(name.as_str()), (size, nodes + 1));
            }
        }
    }

    /// Takes note that a node is gone.
    pub(crate) fn remove(&mut self, node: &Node) {
        for name in node.images.iter().flat_map(|(names, _)| names) {
            match self.known.get(name.as_str()).copied() {
                Some((size, nodes)) if nodes > 1 => {
                    self.known.insert(Arc::from(name.as_str()), (size, nodes - 1));
                }
                _ => {
                    self.known.remove(name.as_str());
                }
            }
        }
    }

    /// The score of a node for a pod with these images.
    pub(crate) fn score(&self, names: &[String], containers: usize, node: &Node, nodes: usize) -> i64 {
        let has = |wanted: &str| node.images.iter().any(|(names, _)| names.iter().any(|name| name == wanted));
        let sum: i64 = names
            .iter()
            .filter(|name| has(name))
            .filter_map(|name| self.known.get(name.as_str()))
            .map(|&(size, holders)| scaled(size, holders, nodes))
            .sum();
        let most = MOST_BYTES.saturating_mul(i64::try_from(containers).unwrap_or(i64::MAX));
        MOST * (sum.min(most).max(LEAST_BYTES) - LEAST_BYTES) / (most - LEAST_BYTES).max(1)
    }
}

/// The size of an image, less the fewer nodes have it.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "the scheduler computes with doubles too"
)]
fn scaled(size: i64, holders: usize, nodes: usize) -> i64 {
    (size as f64 * (holders as f64 / nodes as f64)) as i64
}

/// The images of a pod's containers, each with a tag.
pub(crate) fn names(pod: &Pod) -> Vec<String> {
    let containers = pod.spec.init_containers.iter().chain(&pod.spec.containers);
    let images = containers.map(|container| container.image.as_str()).filter(|image| !image.is_empty());
    images
        .map(|image| {
            let has_tag = match (image.rfind(':'), image.rfind('/')) {
                (Some(colon), Some(slash)) => colon > slash,
                (colon, _) => colon.is_some(),
            };
            if has_tag { image.to_owned() } else { format!("{image}:latest") }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use drayage_cluster::objects::Container;

    use super::*;

    #[test]
    fn an_image_on_half_the_nodes_counts_half() {
        let has =
            |name: &str| Node { images: vec![(vec![name.to_owned()], 1000 * MEBIBYTE)], ..Node::default() };
        let (with, without) = (has("registry:5000/app:latest"), has("other:1"));
        let mut images = Images::default();
        images.add(&with);
        images.add(&without);
        let container = Container { image: "registry:5000/app".to_owned(), ..Container::default() };
        let mut pod = Pod::default();
        pod.spec.containers.push(container);
        let names = names(&pod);
        assert_eq!(names, ["registry:5000/app:latest"]);
        assert_eq!(images.score(&names, 1, &with, 2), 100 * (500 - 23) / (1000 - 23));
        assert_eq!(images.score(&names, 1, &without, 2), 0);
        images.remove(&with);
        images.remove(&without);
        assert!(images.is_empty());
    }
}
