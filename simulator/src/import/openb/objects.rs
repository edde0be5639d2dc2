//! The objects, as the API has them.

use serde_json::{Map, Value, json};

use super::table::{Demand, NodeRow, PodRow};
use super::{DRIVER, NAMESPACE, WHOLE_GPU};
use crate::replay::RUNS_FOR;

pub(super) fn namespace() -> Value {
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
}

pub(super) fn device_class() -> Value {
    json!({
        "apiVersion": "resource.k8s.io/v1",
        "kind": "DeviceClass",
        "metadata": {"name": DRIVER},
        "spec": {"selectors": [{"cel": {"expression": format!("device.driver == \"{DRIVER}\"")}}]},
    })
}

pub(super) fn node(row: &NodeRow) -> Value {
    let mut labels = Map::new();
    labels.insert("kubernetes.io/hostname".to_owned(), row.name.clone().into());
    if row.gpus > 0 {
        labels.insert(format!("{DRIVER}/model"), row.model.clone().into());
    }
    let resources = json!({
        "cpu": cpu(row.cpu_milli),
        "memory": format!("{}Mi", row.memory_mib),
        // The kubelet's default. The trace does not say.
        "pods": "110",
    });
    json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": row.name, "labels": labels},
        "status": {"allocatable": resources, "capacity": resources},
    })
}

pub(super) fn slice(row: &NodeRow) -> Value {
    let devices: Vec<Value> = (0..row.gpus)
        .map(|index| {
            json!({
                "name": format!("gpu-{index}"),
                "attributes": {"index": {"int": index}, "model": {"string": row.model}},
                "capacity": {"milli": {"value": WHOLE_GPU.to_string()}},
                "allowMultipleAllocations": true,
            })
        })
        .collect();
    json!({
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceSlice",
        "metadata": {"name": format!("{}-gpu", row.name)},
        "spec": {
            "driver": DRIVER,
            "nodeName": row.name,
            "pool": {"name": row.name, "generation": 1, "resourceSliceCount": 1},
            "devices": devices,
        },
    })
}

pub(super) fn claim_template(demand: &Demand) -> Value {
    let mut exactly = json!({
        "deviceClassName": DRIVER,
        "allocationMode": "ExactCount",
        "count": demand.gpus,
        "capacity": {"requests": {"milli": demand.milli.to_string()}},
    });
    if !demand.models.is_empty() {
        let models: Vec<String> = demand.models.iter().map(|model| format!("\"{model}\"")).collect();
        let expression = format!("device.attributes[\"{DRIVER}\"].model in [{}]", models.join(", "));
        exactly["selectors"] = json!([{"cel": {"expression": expression}}]);
    }
    json!({
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceClaimTemplate",
        "metadata": {"namespace": NAMESPACE, "name": template_name(demand)},
        "spec": {"spec": {"devices": {"requests": [{"name": "gpu", "exactly": exactly}]}}},
    })
}

pub(super) fn pod(row: &PodRow) -> Value {
    let mut metadata = json!({"namespace": NAMESPACE, "name": row.name});
    if let Some(second) = row.creation_second {
        metadata["creationTimestamp"] = timestamp(second).into();
    }
    let mut annotations: Map<String, Value> = [("qos", &row.qos), ("phase", &row.phase)]
        .into_iter()
        .filter_map(|(key, value)| Some((format!("openb.example.com/{key}"), value.clone()?.into())))
        .collect();
    let started = row.scheduled_second.or(row.creation_second);
    if let Some(seconds) = row.deletion_second.zip(started).and_then(|(end, start)| end.checked_sub(start)) {
        annotations.insert(RUNS_FOR.to_owned(), seconds.to_string().into());
    }
    if !annotations.is_empty() {
        metadata["annotations"] = annotations.into();
    }
    let mut resources = json!({
        "requests": {"cpu": cpu(row.cpu_milli), "memory": format!("{}Mi", row.memory_mib)},
    });
    if row.demand.is_some() {
        resources["claims"] = json!([{"name": "gpu"}]);
    }
    let container = json!({"name": "main", "image": "registry.example.com/openb", "resources": resources});
    let mut spec = json!({"containers": [container]});
    if let Some(demand) = &row.demand {
        spec["resourceClaims"] = json!([{"name": "gpu", "resourceClaimTemplateName": template_name(demand)}]);
    }
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
}

/// `gpu-2` for two whole GPUs, `gpu-1-milli-460` for a share, then the models.
fn template_name(demand: &Demand) -> String {
    let mut parts = vec!["gpu".to_owned(), demand.gpus.to_string()];
    if demand.milli != WHOLE_GPU {
        parts.extend(["milli".to_owned(), demand.milli.to_string()]);
    }
    parts.extend(demand.models.iter().map(|model| model.to_ascii_lowercase()));
    parts.join("-")
}

/// Thousandths of a CPU as a quantity in its canonical form.
fn cpu(milli: u64) -> String {
    if milli.is_multiple_of(1000) { (milli / 1000).to_string() } else { format!("{milli}m") }
}

/// A second of the trace as RFC 3339, with the trace's start put at 2023-01-01T00:00:00Z.
fn timestamp(second: u64) -> String {
    let (mut day, rest) = (second / 86_400, second % 86_400);
    let mut year = 2023_u64;
    let leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    while day >= 365 + u64::from(leap(year)) {
        day -= 365 + u64::from(leap(year));
        year += 1;
    }
    let february = 28 + u64::from(leap(year));
    let mut month = 1;
    for days in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if day < days {
            break;
        }
        day -= days;
        month += 1;
    }
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{:02}T{hour:02}:{minute:02}:{second:02}Z", day + 1)
}

#[cfg(test)]
mod tests {
    use super::timestamp;

    #[test]
    fn timestamps_follow_the_calendar() {
        assert_eq!(timestamp(0), "2023-01-01T00:00:00Z");
        assert_eq!(timestamp(86_399), "2023-01-01T23:59:59Z");
        assert_eq!(timestamp(31 * 86_400 + 3661), "2023-02-01T01:01:01Z");
        // 2024 is a leap year.
        assert_eq!(timestamp((365 + 59) * 86_400), "2024-02-29T00:00:00Z");
        assert_eq!(timestamp((365 + 366) * 86_400), "2025-01-01T00:00:00Z");
    }
}
