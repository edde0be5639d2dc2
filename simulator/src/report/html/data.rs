//! What the script of the page reads: columns of numbers and texts, since there may be 50,000 rows.

use indexmap::IndexSet;
use serde::{Serialize, Serializer};

/// Number of a text in the table of texts; -1 for none.
pub(super) type Text = i32;

/// Texts by number.
#[derive(Clone, Debug, Default)]
pub(super) struct Texts(IndexSet<String>);

impl Texts {
    pub(super) fn number(&mut self, text: &str) -> Text {
        let at = self.0.get_index_of(text).unwrap_or_else(|| self.0.insert_full(text.to_owned()).0);
        Text::try_from(at).unwrap_or(-1)
    }
}

impl Serialize for Texts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(&self.0)
    }
}

/// Everything on the page.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PageData {
    pub(super) title: String,
    pub(super) about: String,
    /// Value, what it counts, and a tone: `good`, `bad` or nothing.
    pub(super) cards: Vec<(String, String, &'static str)>,
    /// Heading and lines.
    pub(super) assumptions: Vec<(&'static str, Vec<String>)>,
    pub(super) strings: Texts,
    pub(super) groups: Vec<Group>,
    pub(super) nodes: Nodes,
    pub(super) devices: Devices,
    /// Numbers of devices with a taint that keeps pods away.
    pub(super) tainted: Vec<usize>,
    pub(super) pods: Pods,
    /// Six numbers for each use of a device: device, pod, first step, step of its end or -1, kind (0 exclusive, 1
    /// share, 2 admin access), share in thousandths.
    pub(super) uses: Vec<i64>,
    /// Three numbers for each time that a device is blocked by counters: device, first step, step of its end or -1.
    pub(super) blocked: Vec<i64>,
    /// Three numbers for each time that a device is not there: device, first step, step of its end or -1.
    pub(super) absent: Vec<i64>,
    pub(super) outcomes: Vec<Outcome>,
    pub(super) why: Vec<Why>,
    pub(super) last_step: i64,
    /// The step that is shown first.
    pub(super) start_step: i64,
    /// Labels of steps, where they are not those of single pods.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) steps: Option<Vec<String>>,
}

/// Nodes that have the same devices.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Group {
    pub(super) name: String,
    pub(super) nodes: Vec<usize>,
}

#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Nodes {
    pub(super) name: Vec<String>,
    /// The first device of each node, and the number of all devices behind the last.
    pub(super) first: Vec<usize>,
    /// Thousandths.
    pub(super) cpu: Vec<i64>,
    /// MiB.
    pub(super) memory: Vec<i64>,
    pub(super) note: Vec<Text>,
}

#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Devices {
    pub(super) name: Vec<Text>,
    pub(super) driver: Vec<Text>,
    /// -1 where the pool is named after the node.
    pub(super) pool: Vec<Text>,
    #[serde(rename = "type")]
    pub(super) kind: Vec<Text>,
}

#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Pods {
    pub(super) name: Vec<String>,
    pub(super) namespace: Vec<Text>,
    pub(super) outcome: Vec<usize>,
    /// -1 without a node.
    pub(super) node: Vec<i64>,
    /// The step at which it comes to its node, or was tried.
    pub(super) from: Vec<i64>,
    /// The step at which it is gone, or -1; empty where none ever goes.
    pub(super) end: Vec<i64>,
    /// Thousandths.
    pub(super) cpu: Vec<i64>,
    /// MiB.
    pub(super) memory: Vec<i64>,
    pub(super) message: Vec<Text>,
    /// Number in `why`, or -1.
    pub(super) why: Vec<i64>,
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct Outcome {
    pub(super) name: &'static str,
    pub(super) tone: &'static str,
}

/// Why a pod has no node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize)]
pub(super) struct Why {
    /// Plugin, reason, number of nodes, nearest node, what it missed, and what stood in the way of devices.
    pub(super) reasons: Vec<(String, String, usize, String, String, Vec<String>)>,
    /// Full explanations.
    pub(super) texts: Vec<String>,
}
