//! Host ports.

use drayage_cluster::objects::ContainerPort;

/// Whether both ports cannot be open on one node.
pub(crate) fn conflict(left: &ContainerPort, right: &ContainerPort) -> bool {
    let every_address = |port: &ContainerPort| port.host_ip.is_empty() || port.host_ip == "0.0.0.0";
    left.host_port == right.host_port
        && protocol(left) == protocol(right)
        && (every_address(left) || every_address(right) || left.host_ip == right.host_ip)
}

fn protocol(port: &ContainerPort) -> &str {
    if port.protocol.is_empty() { "TCP" } else { &port.protocol }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port(host_ip: &str, protocol: &str, host_port: u16) -> ContainerPort {
        ContainerPort { host_port, host_ip: host_ip.to_owned(), protocol: protocol.to_owned() }
    }

    #[test]
    fn ports_conflict_on_a_common_address() {
        let any = port("", "", 80);
        let local = port("127.0.0.1", "TCP", 80);
        let other = port("10.0.0.1", "TCP", 80);
        assert!(conflict(&any, &any) && conflict(&any, &local) && conflict(&local, &any));
        assert!(conflict(&port("0.0.0.0", "TCP", 80), &local));
        assert!(!conflict(&local, &other));
        assert!(!conflict(&any, &port("", "UDP", 80)));
        assert!(!conflict(&any, &port("", "", 81)));
    }
}
