package main

import (
	"sort"

	"k8s.io/autoscaler/cluster-autoscaler/simulator/clustersnapshot"
	"k8s.io/autoscaler/cluster-autoscaler/simulator/framework"
	scheduler "k8s.io/kube-scheduler/framework"
)

// orderedStore is upstream's store, listing nodes in the order in which their names were first stored. Upstream lists
// the nodes of a layer in the iteration order of a map.
type orderedStore struct {
	clustersnapshot.ClusterSnapshotStore
	numbers map[string]int
}

func (s *orderedStore) StoreNodeInfo(info *framework.NodeInfo) error {
	name := info.Node().Name
	if _, known := s.numbers[name]; !known {
		s.numbers[name] = len(s.numbers)
	}
	return s.ClusterSnapshotStore.StoreNodeInfo(info)
}

func (s *orderedStore) NodeInfos() scheduler.NodeInfoLister {
	return orderedLister{s.ClusterSnapshotStore.NodeInfos(), s}
}

type orderedLister struct {
	scheduler.NodeInfoLister
	store *orderedStore
}

func (l orderedLister) List() ([]scheduler.NodeInfo, error) {
	listed, err := l.NodeInfoLister.List()
	if *unordered {
		return listed, err
	}
	ordered := append([]scheduler.NodeInfo(nil), listed...)
	sort.SliceStable(ordered, func(left, right int) bool {
		return l.store.numbers[ordered[left].Node().Name] < l.store.numbers[ordered[right].Node().Name]
	})
	return ordered, err
}
