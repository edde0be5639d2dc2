//! Versions of `resource.k8s.io`, and slices in each of them.

use serde_json::{Map, Value, json};

/// A served version of the API group, oldest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ApiVersion {
    /// Kubernetes 1.32 and later.
    V1Beta1,
    /// Kubernetes 1.33 and later.
    V1Beta2,
    /// Kubernetes 1.34 and later.
    V1,
}

impl ApiVersion {
    /// The newest of the names that a server lists for the group.
    pub fn newest<'a>(served: impl IntoIterator<Item = &'a str>) -> Option<Self> {
        let known = |name| match name {
            "v1" => Some(Self::V1),
            "v1beta2" => Some(Self::V1Beta2),
            "v1beta1" => Some(Self::V1Beta1),
            _ => None,
        };
        served.into_iter().filter_map(known).max()
    }

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V1Beta1 => "v1beta1",
            Self::V1Beta2 => "v1beta2",
            Self::V1 => "v1",
        }
    }

    /// `spec` of a slice in this version; what is given is that of v1. Before v1beta2 all of a device but its name is
    /// in a block `basic`.
    pub fn encode(self, mut spec: Map<String, Value>) -> Map<String, Value> {
        if self == Self::V1Beta1 {
            for device in devices(&mut spec) {
                let Value::Object(fields) = device else { continue };
                let mut fields = std::mem::take(fields);
                let name = fields.remove("name").unwrap_or_default();
                *device = json!({ "name": name, "basic": fields });
            }
        }
        spec
    }

    /// The reverse of [`ApiVersion::encode`].
    pub fn decode(self, mut spec: Map<String, Value>) -> Map<String, Value> {
        if self == Self::V1Beta1 {
            for device in devices(&mut spec) {
                let Value::Object(fields) = device else { continue };
                if let Some(Value::Object(basic)) = fields.remove("basic") {
                    fields.extend(basic);
                }
            }
        }
        spec
    }
}

fn devices(spec: &mut Map<String, Value>) -> impl Iterator<Item = &mut Value> {
    spec.get_mut("devices").and_then(Value::as_array_mut).into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_version_has_devices_in_a_block() {
        let Value::Object(spec) = json!({"devices": [{"name": "a", "attributes": {"x": {"int": 1}}}]}) else {
            panic!("an object")
        };
        let old = ApiVersion::V1Beta1.encode(spec.clone());
        assert_eq!(old["devices"], json!([{"name": "a", "basic": {"attributes": {"x": {"int": 1}}}}]));
        assert_eq!(ApiVersion::V1Beta1.decode(old), spec);
        assert_eq!(ApiVersion::V1Beta2.encode(spec.clone()), spec);
    }

    #[test]
    fn the_newest_version_wins_whatever_the_order() {
        assert_eq!(ApiVersion::newest(["v1beta1", "v1", "v1beta2"]), Some(ApiVersion::V1));
        assert_eq!(ApiVersion::newest(["v1alpha3", "v1beta1"]), Some(ApiVersion::V1Beta1));
        assert_eq!(ApiVersion::newest(["v1alpha3"]), None);
    }
}
