//! How many nodes one estimate of cluster-autoscaler may add.

/// Limits, as cluster-autoscaler's flags have them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeLimits {
    /// `max-nodes-per-scaleup`; 0 is no limit.
    pub per_scale_up: usize,
    /// `max-nodes-total`; 0 is no limit.
    pub in_total: usize,
}

impl Default for NodeLimits {
    fn default() -> Self {
        Self { per_scale_up: 1000, in_total: 0 }
    }
}

impl NodeLimits {
    /// How many nodes may be added to a cluster of `nodes` by a group, and its similar ones, that have `headroom` left.
    pub fn allowed(self, nodes: usize, headroom: usize) -> usize {
        let per_scale_up = if self.per_scale_up == 0 { usize::MAX } else { self.per_scale_up };
        headroom.min(per_scale_up).min(self.left(nodes))
    }

    /// How many nodes a cluster of `nodes` may get altogether.
    pub fn left(self, nodes: usize) -> usize {
        if self.in_total == 0 { usize::MAX } else { self.in_total.saturating_sub(nodes) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_limit_counts() {
        let limits = NodeLimits { per_scale_up: 5, in_total: 12 };
        assert_eq!(limits.allowed(3, 10), 5);
        assert_eq!(limits.allowed(10, 10), 2);
        assert_eq!(limits.allowed(10, 1), 1);
        assert_eq!(limits.allowed(12, 1), 0);
        assert_eq!(NodeLimits { per_scale_up: 0, in_total: 0 }.allowed(12, 99), 99);
    }
}
