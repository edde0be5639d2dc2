// The peer with the allocator of Kubernetes 1.36.
package main

import (
	"drayage.test/peer"
	"k8s.io/dynamic-resource-allocation/structured"
)

func main() {
	peer.Main(peer.Release{
		EnableAllocators: structured.EnableAllocators,
		NodeError:        structured.ErrFailedAllocationOnNode,
	})
}
