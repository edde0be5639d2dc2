//! The feature switches of the allocator.

use drayage_cel::Release;

/// Which features of the allocator are on. Upstream derives them from feature gates of kube-scheduler.
///
/// A feature that is off is not simply ignored: many inputs that need it become errors, see the fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Features {
    /// Gate DRAAdminAccess (KEP-5018). Off: a request with `adminAccess`, even `false`, is an error.
    pub admin_access: bool,
    /// Gate DRAPrioritizedList (KEP-4816). Off: a request with `firstAvailable` is an error.
    pub prioritized_list: bool,
    /// Gate DRAPartitionableDevices (KEP-4815). Off: slices with `sharedCounters` or `perDeviceNodeSelection` do
    /// not exist, and devices that consume counters cannot be allocated.
    pub partitionable_devices: bool,
    /// Gate DRADeviceTaints (KEP-5055). Off: taints are ignored.
    pub device_taints: bool,
    /// Gates DRADeviceBindingConditions and DRAResourceClaimDeviceStatus together (KEP-5007). Off: devices with
    /// binding conditions cannot be selected.
    pub device_binding_and_status: bool,
    /// Gate DRAResourceClaimDeviceStatus, which only 1.34 passes to the allocator by itself. There it decides which
    /// implementation runs, see [`Profile::for_features`](crate::Profile::for_features).
    pub device_status: bool,
    /// Gate DRAConsumableCapacity (KEP-5075). Off: requests with a capacity block are an error, and devices that
    /// allow multiple allocations are allocated exclusively.
    pub consumable_capacity: bool,
    /// Gate DRAListTypeAttributes. Off: a constraint cannot compare attributes that are lists.
    pub list_type_attributes: bool,
    /// Gate DRAFractionalCapacityRange, of 1.37. Off: ranges of capacities are computed in whole units, on: in
    /// thousandths where all bounds can be expressed so.
    pub fractional_capacity_range: bool,
    /// Gate DRAOptionalNodeOperations, of 1.37. Off: devices of slices with `skipNodeOperations` cannot be
    /// allocated.
    pub optional_node_operations: bool,
    /// Gate DRADerivedAttributes (KEP-6080), of 1.37. Off: a request with derived attributes is an error.
    pub derived_attributes: bool,
    /// Gate DRADeviceCompatibilityGroups (KEP-5963), of 1.37. Off: slices with such a device do not exist, which
    /// makes their pool incomplete.
    pub compatibility_groups: bool,
}

impl Features {
    /// Everything off.
    pub const NONE: Self = Self {
        admin_access: false,
        prioritized_list: false,
        partitionable_devices: false,
        device_taints: false,
        device_binding_and_status: false,
        device_status: false,
        consumable_capacity: false,
        list_type_attributes: false,
        fractional_capacity_range: false,
        optional_node_operations: false,
        derived_attributes: false,
        compatibility_groups: false,
    };

    /// What kube-scheduler of a release passes to its allocator with the release's default gates.
    pub const fn for_release(release: Release) -> Self {
        match release {
            Release::V1_34 => Self { device_status: true, ..Self::for_release(Release::V1_35) },
            Release::V1_35 => Self { admin_access: true, prioritized_list: true, ..Self::NONE },
            Release::V1_36 => Self {
                admin_access: true,
                prioritized_list: true,
                partitionable_devices: true,
                device_taints: true,
                device_binding_and_status: true,
                consumable_capacity: true,
                ..Self::NONE
            },
            Release::V1_37 => Self { fractional_capacity_range: true, ..Self::for_release(Release::V1_36) },
        }
    }

    /// Whether no feature is on that is off in `other`.
    pub fn is_within(self, other: Self) -> bool {
        self.switches().into_iter().zip(other.switches()).all(|(mine, others)| others || !mine)
    }

    /// All switches, in the order of the fields.
    fn switches(self) -> [bool; 12] {
        let Self {
            admin_access,
            prioritized_list,
            partitionable_devices,
            device_taints,
            device_binding_and_status,
            device_status,
            consumable_capacity,
            list_type_attributes,
            fractional_capacity_range,
            optional_node_operations,
            derived_attributes,
            compatibility_groups,
        } = self;
        [
            admin_access,
            prioritized_list,
            partitionable_devices,
            device_taints,
            device_binding_and_status,
            device_status,
            consumable_capacity,
            list_type_attributes,
            fractional_capacity_range,
            optional_node_operations,
            derived_attributes,
            compatibility_groups,
        ]
    }
}

impl Default for Features {
    /// The default gates of Kubernetes 1.36: everything but list-typed attributes.
    fn default() -> Self {
        Self::for_release(Release::V1_36)
    }
}
