// The peer with the allocator of Kubernetes 1.34.
package main

import "drayage.test/peer"

func main() {
	// This release cannot limit the implementations, and no error concerns one node only.
	peer.Main(peer.Release{})
}
