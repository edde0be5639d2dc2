//! The values of the switches of a [`Profile`](super::Profile).

/// A value of a switch, as the table of differences shows it.
pub(super) trait SwitchValue: Copy {
    fn text(self) -> &'static str;
}

impl SwitchValue for bool {
    fn text(self) -> &'static str {
        if self { "yes" } else { "no" }
    }
}

/// An enumeration that is the type of a switch: each value with its documentation and its text in the table.
macro_rules! switch_values {
    ($(#[$about:meta])* $name:ident { $($(#[$meaning:meta])* $value:ident => $text:literal,)+ }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$meaning])* $value,)+
        }

        impl SwitchValue for $name {
            fn text(self) -> &'static str {
                match self {
                    $(Self::$value => $text,)+
                }
            }
        }
    };
}

switch_values! {
    /// Order in which pools are searched.
    PoolOrder {
        /// Upstream: the iteration order of a Go map, another one each time. Here: the order in which the pools'
        /// first slices are given, which is one of upstream's.
        Random => "random",
        /// By driver, then by name of the pool.
        ByName => "by name",
    }
}

switch_values! {
    /// Order in which the slices of a pool are searched.
    SliceOrder {
        /// The order in which the slices were given. A real scheduler gets them in no order at all.
        AsGiven => "as given",
        /// By name of the slice.
        ByName => "by name",
    }
}

switch_values! {
    /// What devices with binding conditions (KEP-5007) are searched after.
    BindingLast {
        /// Nothing: binding conditions do not influence the order.
        Nothing => "nothing",
        /// Pools with such a device come after all other pools.
        Pools => "pools",
        /// As `Pools`, and inside a pool slices with such a device come after the others.
        PoolsAndSlices => "pools and slices",
    }
}

switch_values! {
    /// What becomes of pools of which slices are missing.
    IncompletePools {
        /// Their devices are allocated like any others, except by requests for all devices. Only the slices of the
        /// node are counted, so a pool over several nodes always counts as incomplete.
        Searched => "searched",
        /// Nothing is allocated from them. Where the node's own slices are not all of the pool, those of the whole
        /// cluster are counted.
        LeftOut => "left out",
    }
}

switch_values! {
    /// What the search does when it meets an invalid pool.
    InvalidPools {
        /// It ends with an error for all nodes.
        Fatal => "fatal error",
        /// It passes over the pool; if nothing else fits, the node fails with an error of its own.
        PassedOver => "passed over",
    }
}

switch_values! {
    /// What an incomplete or invalid pool means for a request for all devices, whatever the pool's driver.
    AllWithBrokenPool {
        /// An error for all nodes.
        Fatal => "fatal error",
        /// The request cannot be satisfied on this node; an alternative may.
        FailsRequest => "fails on the node",
    }
}

switch_values! {
    /// What makes a pool invalid.
    PoolChecks {
        /// A device name that occurs twice, also in an incomplete pool.
        Devices => "device names",
        /// In a complete pool: a device name or counter set that occurs twice, or a counter that does not exist.
        DevicesAndCounters => "device names and counters",
    }
}

switch_values! {
    /// What slices with shared counters (KEP-4815) are.
    CounterSlices {
        /// Slices like all others: their node selection applies, their devices can be allocated, and devices of
        /// other slices know nothing of their counters.
        Plain => "own devices only",
        /// Holders of the pool's counters that concern every node, whatever their own node selection says.
        Everywhere => "every node",
        /// Holders of the pool's counters for the nodes that their node selection selects. For a node with other
        /// slices of the pool they are found all the same.
        BySelection => "by node selection",
    }
}

switch_values! {
    /// Key of the books of available and consumed counters.
    CounterBooks {
        /// The slice of a device, which has the counters of its devices.
        Slice => "slice",
        /// The name of the pool: two drivers with pools of the same name share one book, and the pool that needs it
        /// first says what is available.
        PoolName => "pool name",
        /// Driver and name of the pool.
        Pool => "driver and pool",
    }
}

switch_values! {
    /// What is undone when a device is refused after it was charged, or given up later.
    Undo {
        /// Counters stay charged when a taint, a constraint or capacity refuses the device afterwards, and when a
        /// device that can be shared is given up. A refusal for lack of capacity also leaves the device marked as
        /// used and counted by the constraints. So devices are missed that are free.
        Partial => "in part",
        /// Everything.
        Complete => "all",
    }
}

switch_values! {
    /// Until when a device that can be shared (KEP-5075) counts as shared, so that its counters are not charged
    /// again.
    ShareEntries {
        /// Never: each share is charged.
        Ignored => "never",
        /// Until nothing is consumed of its capacity any more, which also forgets shares of amount zero. A device
        /// without capacities counts as shared for ever once it was tried.
        UntilEmpty => "until no capacity is consumed",
        /// Until its last share is given up. Shares that other claims hold count only where the device has
        /// capacities.
        UntilLast => "until the last share is gone",
        /// Until its last share is given up, whoever holds it.
        UntilLastOfAnyone => "until nobody's share is left",
    }
}

switch_values! {
    /// Of which device capacity is checked for the second time, just before it is taken.
    SecondCapacityCheck {
        /// The device of the slice whose index is the number of devices the request has so far. Without such a
        /// device upstream panics.
        DeviceAtOrdinal => "another device",
        /// The device that is to be allocated.
        SameDevice => "the device",
    }
}

switch_values! {
    /// In which orders the devices of one request are tried.
    Enumeration {
        /// All, so that k devices that do not work are tried k! times; a device that can be shared may serve one
        /// request several times.
        Permutations => "permutations",
        /// One: each device comes after the one before it in search order.
        Combinations => "combinations",
    }
}

switch_values! {
    /// What follows when a claim would get more devices than a result holds.
    OverLimit {
        /// Other devices are tried, as after any failure.
        Failure => "ordinary failure",
        /// Other devices are not tried, other alternatives are.
        CutsBack => "cuts back",
    }
}

switch_values! {
    /// What comes after the first device of an alternative for all devices.
    AllInAlternatives {
        /// The first alternative of the request, whatever it asks for.
        FirstAlternative => "first alternative",
        /// The next device of the same alternative.
        SameAlternative => "same alternative",
    }
}

switch_values! {
    /// What the second of two alternatives for all devices selects.
    AllSelection {
        /// What the first selects; its own selectors are not looked at.
        OfFirst => "that of the first",
        /// What its own selectors say.
        Own => "its own",
    }
}

switch_values! {
    /// Which taints (KEP-5055) keep away those who do not tolerate them.
    TaintEffects {
        /// All, even those of effect `None`.
        Any => "any",
        /// Those of effect `NoSchedule` and `NoExecute`.
        NoScheduleAndNoExecute => "NoSchedule, NoExecute",
    }
}

switch_values! {
    /// Memory of a `distinctAttribute` constraint.
    DistinctMemory {
        /// One value for each request: a later device of a request replaces the value of the earlier one, and
        /// undoing any device forgets the request's value altogether.
        LatestOfRequest => "latest of each request",
        /// One value for each device.
        EveryDevice => "every device",
    }
}

switch_values! {
    /// What a `distinctAttribute` constraint compares.
    DistinctValues {
        /// Whether the values sit in the same place in memory, so a device only differs from itself by not being
        /// itself: the constraint keeps a device from being used twice, and nothing else.
        Places => "places in memory",
        /// The values.
        Values => "values",
        /// The constraint is not known, and an error.
        Unsupported => "unsupported",
    }
}

switch_values! {
    /// How the number of devices that claims need at least is checked against what a result holds.
    ClaimLimit {
        /// Once for a claim, after all its requests, by a sum that overflows for absurd counts.
        WholeClaim => "for the claim",
        /// After each request, without overflow.
        EachRequest => "for each request",
    }
}

switch_values! {
    /// What capacity in requests and devices that allow multiple allocations mean while consumable capacity
    /// (KEP-5075) is off.
    CapacityOff {
        /// Nothing.
        Ignored => "ignored",
        /// Capacity in an alternative is an error that names the request.
        ErrorOfRequest => "error of the request",
        /// Capacity in an alternative is an error that names the alternative.
        ErrorOfAlternative => "error of the alternative",
    }
}

switch_values! {
    /// To what a result is pinned whose devices are local to a node.
    NodePin {
        /// To the node that slice or device name; `bindsToNode` is not known.
        NameInSlice => "name in the slice",
        /// To the node that was tried, also for devices with `bindsToNode` (KEP-5007).
        TriedNode => "the tried node",
    }
}

switch_values! {
    /// What comes of a capacity request that cannot be computed: rounding it up to a step passes 64 bits, or the
    /// amount is negative.
    CapacityFaults {
        /// Nothing: the search goes on with the low 64 bits, or with the negative amount.
        Ignored => "computed all the same",
        /// The search ends with an error for all nodes.
        Fatal => "fatal error",
    }
}

switch_values! {
    /// The format in which a result has an amount that was rounded up to a step of a range.
    SteppedAmounts {
        /// With suffixes for powers of 1024.
        BinarySi => "BinarySI",
        /// That of the step.
        OfStep => "as the step",
    }
}

switch_values! {
    /// Which of the fields that 1.37 added to slices and requests have a meaning; others are as if not there.
    NewFields {
        /// None.
        Unknown => "none",
        /// Compatibility groups (KEP-5963) and derived attributes (KEP-6080).
        WithoutNodeOperations => "groups, derived attributes",
        /// Also the node operations to skip: their devices need the feature and a node that declares it, and
        /// results repeat them.
        All => "all",
    }
}
