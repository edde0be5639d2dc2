package main

import (
	v1 "k8s.io/api/core/v1"
	"k8s.io/autoscaler/cluster-autoscaler/core/scaledown/eligibility"
	"k8s.io/autoscaler/cluster-autoscaler/core/scaledown/unremovable"
	"k8s.io/autoscaler/cluster-autoscaler/processors/nodes"
	"k8s.io/autoscaler/cluster-autoscaler/processors/scaledowncandidates"
	"k8s.io/autoscaler/cluster-autoscaler/processors/scaledowncandidates/emptycandidates"
	"k8s.io/autoscaler/cluster-autoscaler/simulator"
	"k8s.io/autoscaler/cluster-autoscaler/simulator/drainability/rules"
	"k8s.io/autoscaler/cluster-autoscaler/simulator/options"
	"k8s.io/autoscaler/cluster-autoscaler/simulator/utilization"

	"time"
)

// shrinkage is what is found about one node.
type shrinkage struct {
	Node string `json:"node"`
	// Reason is why it stays; empty where it may go.
	Reason string `json:"reason,omitempty"`
	// Pod and Rule are the pod that keeps it, and why.
	Pod  string `json:"pod,omitempty"`
	Rule string `json:"rule,omitempty"`
	// Resource and Share are the fullest resource.
	Resource string  `json:"resource,omitempty"`
	Share    float64 `json:"share"`
	// Moves are the pods that move, with their new nodes.
	Moves map[string]string `json:"moves,omitempty"`
	// Waits says that pods that must end are on the node.
	Waits bool `json:"waits,omitempty"`
}

// reasons are the names of upstream's numbers.
var reasons = map[simulator.UnremovableReason]string{
	simulator.ScaleDownDisabledAnnotation: "ScaleDownDisabledAnnotation",
	simulator.ScaleDownUnreadyDisabled:    "ScaleDownUnreadyDisabled",
	simulator.NotAutoscaled:               "NotAutoscaled",
	simulator.CurrentlyBeingDeleted:       "CurrentlyBeingDeleted",
	simulator.NotUnderutilized:            "NotUnderutilized",
	simulator.NoPlaceToMovePods:           "NoPlaceToMovePods",
	simulator.BlockedByPod:                "BlockedByPod",
	simulator.UnexpectedError:             "UnexpectedError",
	simulator.NoNodeInfo:                  "NoNodeInfo",
}

// shrink looks at every node that a group has, in upstream's order, one after the other.
func (w *world) shrink() []shrinkage {
	now := w.Flags.Now.Time
	deletion := options.NodeDeleteOptions{
		SkipNodesWithSystemPods: true, SkipNodesWithLocalStorage: true, SkipNodesWithCustomControllerPods: true,
		BspDisruptionTimeout: time.Hour,
	}
	answer := []shrinkage{}
	candidates, err := nodes.NewPreFilteringScaleDownNodeProcessor().GetScaleDownCandidates(&w.context, w.nodes)
	if err != nil {
		panic(err)
	}
	answer = append(answer, w.filtered(candidates)...)
	snapshot := w.context.ClusterSnapshot
	empty := emptycandidates.NewEmptySortingProcessor(
		emptycandidates.NewNodeInfoGetter(snapshot), deletion, rules.Default(deletion))
	sorting := scaledowncandidates.NewScaleDownCandidatesSortingProcessor(
		[]scaledowncandidates.CandidatesComparer{empty})
	candidates, err = sorting.GetScaleDownCandidates(&w.context, candidates)
	if err != nil {
		panic(err)
	}
	checker := eligibility.NewChecker(w.processors.NodeGroupConfigProcessor)
	eligible, shares, refused := checker.FilterOutUnremovable(&w.context, candidates, now, unremovable.NewNodes())
	for _, node := range refused {
		answer = append(answer, found(node.Node.Name, node, shares))
	}
	destinations := map[string]bool{}
	for _, node := range w.nodes {
		destinations[node.Name] = true
	}
	removals := simulator.NewRemovalSimulator(
		w.context.ListerRegistry, snapshot, deletion, rules.Default(deletion), true)
	for _, name := range eligible {
		removable, refused := removals.SimulateNodeRemoval(name, destinations, now, w.context.RemainingPdbTracker)
		if refused != nil {
			answer = append(answer, found(name, refused, shares))
			continue
		}
		delete(destinations, name)
		w.context.RemainingPdbTracker.RemovePods(removable.PodsToReschedule)
		answer = append(answer, found(name, nil, shares))
		last := &answer[len(answer)-1]
		last.Waits = len(removable.OnCompletionPods) > 0
		last.Moves = map[string]string{}
		for _, pod := range removable.PodsToReschedule {
			last.Moves[pod.Name] = w.nodeOf(pod)
		}
	}
	return answer
}

// filtered are the nodes that are not even candidates.
func (w *world) filtered(candidates []*v1.Node) []shrinkage {
	known := map[string]bool{}
	for _, node := range candidates {
		known[node.Name] = true
	}
	var left []shrinkage
	for _, node := range w.nodes {
		if known[node.Name] {
			continue
		}
		reason := "NodeGroupMinSizeReached"
		if w.provider.of[node.Name] == "" {
			reason = "NotAutoscaled"
		}
		left = append(left, shrinkage{Node: node.Name, Reason: reason})
	}
	return left
}

func found(name string, refused *simulator.UnremovableNode, shares map[string]utilization.Info) shrinkage {
	of := shrinkage{Node: name, Share: shares[name].Utilization, Resource: string(shares[name].ResourceName)}
	if refused != nil {
		of.Reason = reasons[refused.Reason]
		if blocking := refused.BlockingPod; blocking != nil {
			of.Pod, of.Rule = blocking.Pod.Name, blocking.Reason.String()
		}
	}
	return of
}

// nodeOf is the node that has a pod now.
func (w *world) nodeOf(pod *v1.Pod) string {
	infos, err := w.context.ClusterSnapshot.ListNodeInfos()
	must(err)
	for _, info := range infos {
		for _, other := range info.Pods() {
			if other.UID == pod.UID {
				return info.Node().Name
			}
		}
	}
	return ""
}
