package main

import (
	"sort"
	"strings"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/autoscaler/cluster-autoscaler/cloudprovider"
	"k8s.io/autoscaler/cluster-autoscaler/core/podlistprocessor"
	"k8s.io/autoscaler/cluster-autoscaler/core/scaleup/equivalence"
	"k8s.io/autoscaler/cluster-autoscaler/estimator"
	"k8s.io/autoscaler/cluster-autoscaler/expander"
	"k8s.io/autoscaler/cluster-autoscaler/expander/leastnodes"
	"k8s.io/autoscaler/cluster-autoscaler/expander/mostpods"
	"k8s.io/autoscaler/cluster-autoscaler/expander/price"
	"k8s.io/autoscaler/cluster-autoscaler/expander/waste"
	"k8s.io/autoscaler/cluster-autoscaler/simulator/scheduling"
	kubeutil "k8s.io/autoscaler/cluster-autoscaler/utils/kubernetes"
)

// growth is one round of scaling up.
type growth struct {
	// Left are the pods that no node of the cluster can take.
	Left []string `json:"left"`
	// Skipped are groups that are not looked at, with the reason.
	Skipped map[string]string `json:"skipped,omitempty"`
	// Options are what the groups offer.
	Options []option `json:"options,omitempty"`
	// Refused are the reasons of groups for the first pods of the equivalence groups that they cannot take.
	Refused map[string]map[string]string `json:"refused,omitempty"`
	// Best are the groups that each expander leaves.
	Best map[string][]string `json:"best,omitempty"`
}

// option is what a group offers.
type option struct {
	Group string   `json:"group"`
	Nodes int      `json:"nodes"`
	Pods  []string `json:"pods"`
	// Similar are the groups that may share the growth.
	Similar []string `json:"similar,omitempty"`
	// Shares are the nodes that each group would get.
	Shares map[string]int `json:"shares,omitempty"`
}

func names(pods []*v1.Pod) []string {
	found := []string{}
	for _, pod := range pods {
		found = append(found, pod.Name)
	}
	sort.Strings(found)
	return found
}

// grow decides what to add.
func (w *world) grow() growth {
	filter := podlistprocessor.NewFilterOutSchedulablePodListProcessor(scheduling.ScheduleAnywhere)
	left, err := filter.Process(&w.context, append([]*v1.Pod(nil), w.waiting...))
	must(err)
	answer := growth{Left: names(left), Skipped: map[string]string{}, Best: map[string][]string{}}
	if len(left) == 0 {
		return growth{Left: answer.Left}
	}
	number := map[string]int{}
	for at, pod := range left {
		number[pod.Name] = at
	}
	groups := equivalence.BuildPodGroups(left)
	if !*unordered {
		sort.Slice(groups, func(a, b int) bool { return number[groups[a].Pods[0].Name] < number[groups[b].Pods[0].Name] })
	}

	var valid []cloudprovider.NodeGroup
	for _, group := range w.provider.groups {
		size, err := group.TargetSize()
		must(err)
		options, err := group.GetOptions(w.context.NodeGroupDefaults)
		must(err)
		total := len(w.nodes) + group.MaxSize() - size
		switch {
		case size >= group.MaxSize():
			answer.Skipped[group.Id()] = "max node group size reached"
		case options.ZeroOrMaxNodeScaling && w.Flags.MaxNodesTotal != 0 && total > w.Flags.MaxNodesTotal:
			answer.Skipped[group.Id()] = "atomic scale-up exceeds cluster node count limit"
		default:
			valid = append(valid, group)
		}
	}
	fitting := map[string][]estimator.PodEquivalenceGroup{}
	for _, group := range valid {
		fitting[group.Id()] = w.orchestrator.SchedulablePodGroups(groups, group, w.nodeInfos[group.Id()])
	}
	answer.Refused = map[string]map[string]string{}
	for _, pods := range groups {
		for group, why := range pods.SchedulingErrors {
			if answer.Refused[group] == nil {
				answer.Refused[group] = map[string]string{}
			}
			answer.Refused[group][pods.Pods[0].Name] = strings.Join(why.Reasons(), ", ")
		}
	}
	var offers []expander.Option
	for _, group := range valid {
		offer := w.orchestrator.ComputeExpansionOption(group, fitting, w.nodeInfos, len(w.nodes), time.Now(), false)
		if len(offer.Pods) == 0 || offer.NodeCount == 0 {
			continue
		}
		offers = append(offers, offer)
		answer.Options = append(answer.Options, w.option(offer))
	}
	if len(offers) == 0 {
		return answer
	}
	lister := kubeutil.NewTestNodeLister(w.nodes)
	expanders := map[string]expander.Filter{
		"least-waste": waste.NewFilter(),
		"most-pods":   mostpods.NewFilter(),
		"least-nodes": leastnodes.NewFilter(),
		"price": price.NewFilter(
			w.provider, price.NewSimplePreferredNodeProvider(lister), price.SimpleNodeUnfitness),
	}
	for name, filter := range expanders {
		for _, best := range filter.BestOptions(offers, w.nodeInfos) {
			answer.Best[name] = append(answer.Best[name], best.NodeGroup.Id())
		}
		sort.Strings(answer.Best[name])
	}
	return answer
}

// option says what would come of an offer.
func (w *world) option(offer expander.Option) option {
	found := option{Group: offer.NodeGroup.Id(), Nodes: offer.NodeCount, Pods: names(offer.Pods)}
	groups := []cloudprovider.NodeGroup{offer.NodeGroup}
	for _, similar := range offer.SimilarNodeGroups {
		found.Similar = append(found.Similar, similar.Id())
		groups = append(groups, similar)
	}
	nodes, err := w.orchestrator.GetCappedNewNodeCount(offer.NodeCount, len(w.nodes))
	if err != nil {
		return found
	}
	found.Shares = map[string]int{}
	infos, err := w.processors.NodeGroupSetProcessor.BalanceScaleUpBetweenGroups(&w.context, groups, nodes)
	if err != nil {
		return found
	}
	for _, info := range infos {
		found.Shares[info.Group.Id()] = info.NewSize - info.CurrentSize
	}
	return found
}
