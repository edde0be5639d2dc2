//! The rules: codes, severities and texts.

use std::fmt;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Severity {
    /// Worth knowing.
    Note,
    /// Probably not what was meant, or a trap.
    Warning,
    /// Something here cannot work.
    Error,
}

impl Severity {
    /// `note`, `warning` or `error`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One rule. Codes are never given to another rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Such as `DRA101`: the hundreds are the group.
    pub code: &'static str,
    /// Short and in kebab case.
    pub name: &'static str,
    /// How bad a finding usually is.
    pub severity: Severity,
    /// What is found, as a heading.
    pub summary: &'static str,
    /// What it leads to.
    pub meaning: &'static str,
    /// What to do.
    pub fix: &'static str,
}

impl Rule {
    /// The rule of this code or name.
    pub fn find(text: &str) -> Option<&'static Self> {
        RULES.iter().copied().find(|rule| rule.code == text || rule.name == text)
    }
}

macro_rules! rules {
    ($($(#[$group:meta])* $constant:ident = $code:literal $name:literal $severity:ident $summary:literal
        means $meaning:literal fix $fix:literal;)+) => {
        $($(#[$group])* pub(super) const $constant: &Rule = &Rule {
            code: $code,
            name: $name,
            severity: Severity::$severity,
            summary: $summary,
            meaning: $meaning,
            fix: $fix,
        };)+

        /// All rules, by code.
        pub const RULES: &[&Rule] = &[$($constant,)+];
    };
}

rules! {
    INVALID_OBJECT = "DRA001" "invalid-object" Error
        "an object that cannot be read, or that the API server refuses"
        means "Nothing can be said about the object, and `kubectl apply` would fail."
        fix "Correct the field that the message names.";
    BEYOND_LIMITS = "DRA002" "questionable-object" Warning
        "an object that the API server would refuse although its meaning is clear, or one given twice"
        means "Sizes above the API's limits, or combinations of fields that newer releases refuse."
        fix "Follow the message; split what is too large.";
    UNKNOWN_FIELD = "DRA003" "unknown-field" Warning
        "a field that the API does not have"
        means "The API server drops the field, or refuses the object under strict validation; what it should do is not done."
        fix "Correct the spelling or the indentation.";
    OLD_VERSION = "DRA004" "old-api-version" Warning
        "a version of `resource.k8s.io` that is deprecated, or not served by the release"
        means "Manifests in old versions stop working with the release that no longer serves them; error where that is this release already."
        fix "Write the object as `resource.k8s.io/v1`.";

    POOL_INCOMPLETE = "DRA101" "pool-incomplete" Error
        "a pool with fewer slices than its driver announces"
        means "From 1.35 on nothing is allocated from the pool until all slices of its newest generation are there."
        fix "Publish the missing slices, or announce the number that there are in `resourceSliceCount` of all of them.";
    POOL_OVERFULL = "DRA102" "pool-overfull" Error
        "a pool with more slices than its driver announces"
        means "Such a pool counts as incomplete too: nothing is allocated from it."
        fix "Delete slices that are left over, or announce the right number in `resourceSliceCount` of all of them.";
    NO_SLICE_COUNT = "DRA103" "no-slice-count" Error
        "a slice without `resourceSliceCount`, as node templates of autoscalers often have it"
        means "The number of slices never equals zero, so the pool is never complete and a node made of the template never gets a pod with a claim."
        fix "Set `spec.pool.resourceSliceCount` to the number of slices of the pool, 1 for a single slice.";
    SLICE_COUNTS_DIFFER = "DRA104" "slice-counts-differ" Error
        "slices of one generation of a pool that announce different numbers"
        means "Whichever slice comes first decides whether the pool is complete, and that order is not defined."
        fix "Announce the same `resourceSliceCount` in all slices of a generation.";
    OLD_GENERATION = "DRA105" "old-generation" Warning
        "slices of an older generation beside newer ones"
        means "The old slices count for nothing; on a node that only sees the old ones they may even be used."
        fix "Delete the slices of the older generation, or restart the driver that left them.";
    DUPLICATE_DEVICE = "DRA106" "duplicate-device" Error
        "a device name that occurs twice in a pool"
        means "The whole pool is invalid, and nothing is allocated from it."
        fix "Give every device of the pool a name of its own.";
    UNKNOWN_COUNTER = "DRA107" "unknown-counter" Error
        "a device that consumes a counter or counter set that its pool does not have"
        means "The whole pool is invalid, and nothing is allocated from it."
        fix "Publish the counter in `sharedCounters` of a slice of the same pool, or correct the name.";
    DUPLICATE_COUNTER_SET = "DRA108" "duplicate-counter-set" Error
        "a counter set that a pool has twice"
        means "The whole pool is invalid, and nothing is allocated from it."
        fix "Give every counter set of the pool a name of its own.";
    COUNTER_TOO_SMALL = "DRA109" "counter-too-small" Warning
        "a device that consumes more of a counter than there is"
        means "The device can never be allocated, not even alone."
        fix "Correct the amount in the device or in the counter set.";
    POOL_NAME_SHARED = "DRA110" "pool-name-shared" Warning
        "two drivers with counters in pools of the same name"
        means "The schedulers of 1.35 and of 1.36 up to 1.36.3 keep one book of counters for both pools, and limit one by the other or not at all."
        fix "Give the pools names that differ, for instance with a suffix for the driver.";
    UNKNOWN_NODE = "DRA111" "unknown-node" Warning
        "a slice or device of a node that does not exist"
        means "Nobody can use the devices. Slices like that remain when a node is removed without its driver."
        fix "Delete the slice, or correct `nodeName`.";
    NO_NODE_SELECTED = "DRA112" "no-node-selected" Warning
        "a slice or device whose node selector matches no node"
        means "Nobody can use the devices."
        fix "Correct the node selector, or the labels of the nodes.";
    MALFORMED_ATTRIBUTE = "DRA113" "malformed-attribute" Error
        "an attribute whose value CEL cannot take"
        means "Every selector that is evaluated on the device fails, and ends the scheduling of the pod for all nodes."
        fix "Write versions as `major.minor.patch`, and give every attribute exactly one value.";
    SIMILAR_NODES_DIFFER = "DRA114" "similar-nodes-differ" Warning
        "nodes of one group or instance type that do not publish the same devices"
        means "An autoscaler takes one node of a group as the template for new ones, and may promise devices that new nodes lack."
        fix "Look for failed devices or another driver version on the nodes that differ, or split the group.";
    ATTRIBUTE_KINDS_DIFFER = "DRA115" "attribute-kinds-differ" Warning
        "an attribute that a driver publishes with different types"
        means "Comparing it in a selector is an error on some of the devices, and `matchAttribute` never holds across them."
        fix "Publish the attribute with one type on all devices.";

    SELECTOR_INVALID = "DRA201" "selector-invalid" Error
        "a CEL expression that does not compile"
        means "The API server refuses the object; where it is stored already, every pod that needs it ends with an error."
        fix "Correct the expression; `dray cel check` tells its type and cost.";
    SELECTOR_TOO_NEW = "DRA202" "selector-too-new" Warning
        "a CEL expression that only stored objects may have in this release"
        means "The API server accepts in new objects only what the release before knew as well."
        fix "Avoid the function or variable until the next release.";
    SELECTOR_COSTLY = "DRA203" "selector-costly" Warning
        "a CEL expression with an estimated cost near the limit"
        means "Above the limit of 1,000,000 the API server refuses it, and estimates change with releases."
        fix "Shorten loops over attributes, and read attributes by name instead.";
    SELECTOR_TOO_COSTLY = "DRA204" "selector-too-costly" Error
        "a CEL expression with an estimated cost above the limit"
        means "The API server refuses the object."
        fix "Shorten loops over attributes, and read attributes by name instead.";
    SELECTOR_FAILS = "DRA205" "selector-fails" Error
        "a selector that fails on some device"
        means "A selector that fails does not skip the device: it ends the scheduling of the pod for all nodes."
        fix "Test with `has(...)` or `in` before reading an attribute, or use `?` and `orValue(...)`.";
    SELECTOR_NEVER_MATCHES = "DRA206" "selector-never-matches" Error
        "a selector that no device of the input satisfies"
        means "The request can never be served by the devices of the input."
        fix "Compare the expression with what the slices publish; `dray cel eval` tries it on a device.";
    CLASS_WITHOUT_SELECTORS = "DRA207" "class-selects-everything" Warning
        "a device class without selectors"
        means "The class selects every device of every driver: a request for a GPU may get a network card."
        fix "Select at least the driver: `device.driver == \"gpu.example.com\"`.";
    EXTENDED_NAME_TWICE = "DRA208" "extended-resource-twice" Warning
        "two classes for one extended resource"
        means "Only one of them serves pods that ask for the resource; the scheduler takes the newest."
        fix "Let one class have the `extendedResourceName`.";

    UNKNOWN_CLASS = "DRA301" "unknown-class" Error
        "a claim that names a device class that does not exist"
        means "Pods with the claim wait until somebody makes the class; a missing class in an alternative counts too."
        fix "Correct the name, or create the class.";
    CONSTRAINT_WITHOUT_ATTRIBUTE = "DRA302" "constraint-without-attribute" Error
        "a constraint over an attribute that no device of a request has"
        means "A device without the attribute never satisfies the constraint, so the claim can never be allocated."
        fix "Name an attribute that the devices publish, with its domain.";
    CONSTRAINT_KINDS_DIFFER = "DRA303" "constraint-kinds-differ" Error
        "a constraint that compares values of different types"
        means "Values of different types are never equal, so `matchAttribute` can never hold."
        fix "Compare an attribute that all devices publish with one type.";
    CLAIM_UNSATISFIABLE = "DRA304" "claim-unsatisfiable" Error
        "a claim that no node could satisfy even if all devices were free"
        means "Pods with the claim wait forever on the nodes of the input."
        fix "Ask for less, loosen selectors or constraints, or add nodes; `dray allocate --explain` shows what would help.";
    POD_UNSATISFIABLE = "DRA305" "pod-unsatisfiable" Error
        "a pod whose claims fit on no node that the pod accepts, even if all devices were free"
        means "Each claim could be had somewhere, but not together on a node that the pod's node selector, affinity and tolerations allow."
        fix "Compare the pod's node selector and tolerations with the nodes that have the devices.";
    ALL_WITH_BROKEN_POOL = "DRA306" "all-with-broken-pool" Error
        "a request for all devices while a pool is incomplete or invalid"
        means "In every release up to 1.37.2 such a pool ends the scheduling of the pod for every node, whatever its driver."
        fix "Repair the pool first, or ask for a number of devices instead of `allocationMode: All`.";
    ALTERNATIVE_UNREACHABLE = "DRA307" "alternative-unreachable" Warning
        "an alternative that is never chosen"
        means "An earlier alternative fits whenever this one does, or this one fits nowhere."
        fix "Put the stricter alternative first, or remove the one that has no effect.";
    CONFIG_WITHOUT_DRIVER = "DRA308" "config-without-driver" Warning
        "a configuration for a driver that serves none of its requests"
        means "The driver never sees the parameters."
        fix "Correct `opaque.driver`, or the list of requests.";
    ADMIN_ACCESS_REFUSED = "DRA309" "admin-access-refused" Error
        "admin access in a namespace without the label for it"
        means "The API server refuses claims with `adminAccess` in namespaces that are not labelled."
        fix "Label the namespace with `resource.kubernetes.io/admin-access: \"true\"`, or use another one.";
    CLAIM_ERROR = "DRA310" "claim-error" Error
        "a claim that ends scheduling with an error"
        means "An error on one node ends the attempt for all nodes, also for those that could serve the claim."
        fix "Correct what the message names.";
    FEATURE_OFF = "DRA311" "feature-off" Error
        "a field whose feature gate is off in the release"
        means "The API server drops or refuses the field; in stored objects the scheduler reports an error, or does not see the devices."
        fix "Switch the gate on, choose a newer release, or do without the field.";
    DEVICE_CONFIG_INVALID = "DRA312" "device-config-invalid" Error
        "a DeviceConfig that the driver refuses"
        means "Claims with such parameters are allocated, and then cannot be prepared: their pods never start."
        fix "Correct the field that the message names.";

    RULE_TAINTS_EVERYTHING = "DRA401" "rule-taints-everything" Error
        "a DeviceTaintRule that selects every device of the cluster"
        means "A rule without any criterion matches all devices of all drivers; with `NoExecute` every pod with a claim is evicted."
        fix "Name at least a driver in `deviceSelector`; try the rule with effect `None` first.";
    RULE_EVICTS = "DRA402" "rule-evicts" Warning
        "a DeviceTaintRule that evicts running pods"
        means "Pods whose claims hold a tainted device and do not tolerate the taint are deleted as soon as the rule exists."
        fix "Try the rule with effect `None`, drain the pods first, or use `NoSchedule`.";
    RULE_TAINTS_NOTHING = "DRA403" "rule-taints-nothing" Warning
        "a DeviceTaintRule that selects no device"
        means "The rule has no effect."
        fix "Compare driver, pool and device with the slices.";
    TOLERATES_EVERYTHING = "DRA404" "tolerates-everything" Warning
        "a request that tolerates every taint"
        means "The request gets devices that are tainted because they are broken, and keeps them: nothing ever evicts its pods."
        fix "Tolerate the key that is meant.";
    TOLERATION_OTHER_EFFECT = "DRA405" "toleration-other-effect" Warning
        "a toleration for another effect than the taint has"
        means "The key and value are those of a taint, but the effect is not, so the device is refused, or its pods are evicted."
        fix "Leave `effect` out to tolerate all effects, or write that of the taint.";
    TOLERATION_SECONDS = "DRA406" "toleration-for-a-while" Note
        "a toleration of `NoExecute` with `tolerationSeconds`"
        means "The pod may be scheduled onto a tainted device and is evicted from it after that time, again and again."
        fix "Leave `tolerationSeconds` out if the pod shall stay, or tolerate only `NoSchedule`.";

    UNKNOWN_CLAIM = "DRA501" "unknown-claim" Error
        "a pod that names a claim or claim template that does not exist"
        means "The pod waits until somebody makes it."
        fix "Correct the name, or the namespace: claims and templates must be in the namespace of the pod.";
    CLAIM_NOT_USED = "DRA502" "claim-not-used" Warning
        "a claim of a pod that no container uses"
        means "The devices are allocated, but no container sees them."
        fix "Name the claim in `resources.claims` of the container that needs it.";
    UNKNOWN_POD_CLAIM = "DRA503" "unknown-pod-claim" Error
        "a container that uses a claim which the pod does not have"
        means "The API server refuses the pod."
        fix "Add the claim to `spec.resourceClaims` of the pod, or correct the name.";
    DAEMON_SET_CLAIM = "DRA504" "daemon-set-claim" Warning
        "a DaemonSet with claims that take devices"
        means "Its pods take devices from the workloads, and autoscalers expect claims of DaemonSets to have admin access; one claim for all pods binds them to the nodes of its devices."
        fix "Use a claim template with `adminAccess: true` in a labelled namespace, or no claim.";
    CLAIM_SHARED_BY_REPLICAS = "DRA505" "claim-shared-by-replicas" Warning
        "replicas that share one claim"
        means "All of them run where the devices of the claim can be reached, mostly on one node, and share the devices."
        fix "Use `resourceClaimTemplateName`, which makes a claim for each pod, unless sharing is meant.";
    TOO_MANY_CONSUMERS = "DRA506" "too-many-consumers" Error
        "more pods for one claim than may use it at a time"
        means "`status.reservedFor` holds 256 consumers; the pods beyond wait."
        fix "Use several claims, or a claim template.";
    NODE_NAME_WITH_CLAIMS = "DRA507" "node-name-with-claims" Error
        "a pod with claims that names its node itself"
        means "The scheduler does not see such a pod, so nobody allocates its claims and the kubelet never starts it."
        fix "Use `nodeSelector` or node affinity instead of `nodeName`.";
    SCALE_FROM_ZERO = "DRA508" "scale-from-zero-template" Warning
        "a node group whose devices are announced by annotation only"
        means "cluster-autoscaler makes one slice without `resourceSliceCount` and with a `type` attribute only of it. The pool is never complete, so pods with claims never make the group grow from zero."
        fix "Keep one node in the group, or use an autoscaler that takes full ResourceSlice templates.";
}
