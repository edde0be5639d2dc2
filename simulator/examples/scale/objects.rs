//! The cluster that is measured: one text of JSON, as `kubectl get -o json` would print it.

use std::fmt::Write as _;

/// Nodes with eight devices each, in three zones, and ten pods for each node, each with a claim for one device. A fifth
/// of the pods finds none.
pub(crate) fn cluster(nodes: usize) -> String {
    let mut text = String::with_capacity(nodes * 5_600);
    text.push_str(
        r#"{"apiVersion":"v1","kind":"List","items":[
{"apiVersion":"resource.k8s.io/v1","kind":"DeviceClass","metadata":{"name":"gpu"},"spec":{"selectors":[{"cel":{"expression":"device.driver == 'gpu.example.com'"}}]}},
{"apiVersion":"resource.k8s.io/v1","kind":"ResourceClaimTemplate","metadata":{"name":"one","namespace":"ml"},"spec":{"spec":{"devices":{"requests":[{"name":"gpu","exactly":{"deviceClassName":"gpu"}}]}}}}"#,
    );
    for node in 0..nodes {
        let zone = node % 3;
        let _ = write!(
            text,
            ",\n{{\"apiVersion\":\"v1\",\"kind\":\"Node\",\"metadata\":{{\"name\":\"node-{node:05}\",\"labels\":\
             {{\"kubernetes.io/hostname\":\"node-{node:05}\",\"topology.kubernetes.io/zone\":\"z{zone}\"}}}},\"status\":\
             {{\"allocatable\":{{\"cpu\":\"128\",\"memory\":\"1Ti\",\"pods\":\"110\"}},\"conditions\":\
             [{{\"type\":\"Ready\",\"status\":\"True\"}}]}}}}"
        );
        let _ = write!(
            text,
            ",\n{{\"apiVersion\":\"resource.k8s.io/v1\",\"kind\":\"ResourceSlice\",\"metadata\":{{\"name\":\
             \"s-{node:05}\"}},\"spec\":{{\"driver\":\"gpu.example.com\",\"nodeName\":\"node-{node:05}\",\"pool\":\
             {{\"name\":\"node-{node:05}\",\"generation\":1,\"resourceSliceCount\":1}},\"devices\":["
        );
        for device in 0..8 {
            let (comma, numa) = (if device == 0 { "" } else { "," }, device / 4);
            let _ = write!(
                text,
                "{comma}{{\"name\":\"gpu-{device}\",\"attributes\":{{\"model\":{{\"string\":\"H100\"}},\"index\":\
                 {{\"int\":{device}}},\"numa\":{{\"int\":{numa}}}}},\"capacity\":{{\"memory\":{{\"value\":\"80Gi\"}}}}}}"
            );
        }
        text.push_str("]}}");
    }
    for pod in 0..nodes * 10 {
        let _ = write!(
            text,
            ",\n{{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{{\"name\":\"pod-{pod:06}\",\"namespace\":\"ml\",\
             \"uid\":\"u{pod}\",\"creationTimestamp\":\"2026-01-01T00:00:00Z\"}},\"spec\":{{\"containers\":[{{\"name\":\
             \"c\",\"image\":\"x\",\"resources\":{{\"requests\":{{\"cpu\":\"1\",\"memory\":\"4Gi\"}},\"claims\":\
             [{{\"name\":\"gpu\"}}]}}}}],\"resourceClaims\":[{{\"name\":\"gpu\",\"resourceClaimTemplateName\":\"one\"}}]}}}}"
        );
    }
    text.push_str("\n]}\n");
    text
}
