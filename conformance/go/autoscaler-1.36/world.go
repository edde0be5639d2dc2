package main

import (
	"context"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/autoscaler/cluster-autoscaler/cloudprovider"
	testprovider "k8s.io/autoscaler/cluster-autoscaler/cloudprovider/test"
	"k8s.io/autoscaler/cluster-autoscaler/clusterstate"
	"k8s.io/autoscaler/cluster-autoscaler/config"
	autoscalercontext "k8s.io/autoscaler/cluster-autoscaler/context"
	"k8s.io/autoscaler/cluster-autoscaler/core/scaleup/orchestrator"
	coretest "k8s.io/autoscaler/cluster-autoscaler/core/test"
	"k8s.io/autoscaler/cluster-autoscaler/estimator"
	"k8s.io/autoscaler/cluster-autoscaler/processors"
	"k8s.io/autoscaler/cluster-autoscaler/processors/nodegroupset"
	processorstest "k8s.io/autoscaler/cluster-autoscaler/processors/test"
	"k8s.io/autoscaler/cluster-autoscaler/resourcequotas"
	"k8s.io/autoscaler/cluster-autoscaler/simulator"
	"k8s.io/autoscaler/cluster-autoscaler/simulator/clustersnapshot/predicate"
	"k8s.io/autoscaler/cluster-autoscaler/simulator/clustersnapshot/store"
	drasnapshot "k8s.io/autoscaler/cluster-autoscaler/simulator/dynamicresources/snapshot"
	"k8s.io/autoscaler/cluster-autoscaler/simulator/framework"
	"k8s.io/autoscaler/cluster-autoscaler/utils/errors"
	kubeutil "k8s.io/autoscaler/cluster-autoscaler/utils/kubernetes"
	podutil "k8s.io/autoscaler/cluster-autoscaler/utils/pod"
	"k8s.io/autoscaler/cluster-autoscaler/utils/taints"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/fake"
)

// provider is upstream's test provider with groups in a fixed order, and prices.
type provider struct {
	*testprovider.TestCloudProvider
	groups []cloudprovider.NodeGroup
	prices map[string]float64
	// of names the group of each node and template.
	of map[string]string
}

func (p *provider) NodeGroups() []cloudprovider.NodeGroup { return p.groups }

func (p *provider) Pricing() (cloudprovider.PricingModel, errors.AutoscalerError) { return p, nil }

// NodePrice is the price of the node's group, which stands in a label.
func (p *provider) NodePrice(node *v1.Node, from, to time.Time) (float64, error) {
	return p.prices[p.of[node.Name]] * to.Sub(from).Hours(), nil
}

// The prices for pods of upstream's provider for GCE.
const cpuPricePerHour, memoryPricePerHourPerGiB = 0.033174, 0.004446

func (p *provider) PodPrice(pod *v1.Pod, from, to time.Time) (float64, error) {
	requests := podutil.PodRequests(pod)
	cpu, memory := requests[v1.ResourceCPU], requests[v1.ResourceMemory]
	price := float64(cpu.MilliValue())/1000*cpuPricePerHour + float64(memory.Value())/(1<<30)*memoryPricePerHourPerGiB
	return price * to.Sub(from).Hours(), nil
}

// world is what cluster-autoscaler knows in one loop.
type world struct {
	testCase
	objects
	provider     *provider
	context      autoscalercontext.AutoscalingContext
	processors   *processors.AutoscalingProcessors
	orchestrator *orchestrator.ScaleUpOrchestrator
	nodeInfos    map[string]*framework.NodeInfo
}

func newWorld(c testCase) *world {
	w := &world{testCase: c, objects: read(c.Objects)}
	defaults := config.NodeGroupAutoscalingOptions{ScaleDownUtilizationThreshold: c.Flags.Threshold}
	options := config.AutoscalingOptions{
		NodeGroupDefaults:                defaults,
		EstimatorName:                    estimator.BinpackingEstimatorName,
		MaxNodesTotal:                    c.Flags.MaxNodesTotal,
		MaxNodesPerScaleUp:               c.Flags.MaxNodesPerScaleUp,
		MaxNodeGroupBinpackingDuration:   time.Minute,
		BalanceSimilarNodeGroups:         c.Flags.Balance,
		DynamicResourceAllocationEnabled: true,
		ScaleDownUnreadyEnabled:          true,
	}
	var templates map[string]*framework.NodeInfo
	w.provider, templates = newProvider(c, w.nodes, defaults)
	w.snapshot(options)
	taintConfig := taints.NewTaintConfig(options)
	w.nodeInfos = map[string]*framework.NodeInfo{}
	for _, group := range w.provider.groups {
		info, err := simulator.SanitizedTemplateNodeInfoFromNodeInfo(
			templates[group.Id()], group.Id(), w.daemonSets, true, taintConfig)
		if err != nil {
			panic(err)
		}
		w.provider.of[info.Node().Name] = group.Id()
		w.nodeInfos[group.Id()] = info
	}
	w.processors.NodeGroupSetProcessor = nodegroupset.NewDefaultNodeGroupSetProcessor(nil, config.NodeGroupDifferenceRatios{
		// The defaults of the flags.
		MaxCapacityMemoryDifferenceRatio: 0.015,
		MaxAllocatableDifferenceRatio:    0.05,
		MaxFreeDifferenceRatio:           0.05,
	})
	registry := clusterstate.NewClusterStateRegistry(w.provider, w.context.LogRecorder, coretest.NewBackoff(),
		w.processors.NodeGroupConfigProcessor, w.context.TemplateNodeInfoRegistry)
	must(registry.UpdateNodes(w.nodes, time.Now()))
	limiter := estimator.NewThresholdBasedEstimationLimiter([]estimator.Threshold{
		estimator.NewStaticThreshold(options.MaxNodesPerScaleUp, options.MaxNodeGroupBinpackingDuration),
		estimator.NewSngCapacityThreshold(),
		estimator.NewClusterCapacityThreshold(),
	})
	builder, err := estimator.NewEstimatorBuilder(
		estimator.BinpackingEstimatorName, limiter, estimator.NewDecreasingPodOrderer(), nil, false)
	must(err)
	w.orchestrator = orchestrator.New()
	w.orchestrator.Initialize(&w.context, w.processors, registry, builder, taintConfig,
		resourcequotas.NewTrackerFactory(resourcequotas.TrackerOptions{
			QuotaProvider:            resourcequotas.NewCloudQuotasProvider(w.provider),
			CustomResourcesProcessor: w.processors.CustomResourcesProcessor,
		}))
	return w
}

// newProvider makes the groups, with the nodes that are their members, and their templates.
func newProvider(
	c testCase, nodes []*v1.Node, defaults config.NodeGroupAutoscalingOptions,
) (*provider, map[string]*framework.NodeInfo) {
	p := &provider{
		TestCloudProvider: testprovider.NewTestCloudProviderBuilder().Build(),
		prices:            map[string]float64{},
		of:                map[string]string{},
	}
	templates := map[string]*framework.NodeInfo{}
	for _, group := range c.Groups {
		name, spec := group.Metadata.Name, group.Spec
		var members []*v1.Node
		for _, node := range nodes {
			if isMember(node, spec.Members) {
				members = append(members, node)
			}
		}
		options := defaults
		options.ZeroOrMaxNodeScaling = spec.ZeroOrMax
		p.AddNodeGroupWithCustomOptions(name, spec.MinSize, spec.MaxSize, len(members), &options)
		for _, node := range members {
			p.AddNode(name, node)
			p.of[node.Name] = name
		}
		p.groups = append(p.groups, p.GetNodeGroup(name))
		p.prices[name] = spec.PricePerHour
		node := spec.Template.Node.DeepCopy()
		node.Name = "template"
		if node.Status.Allocatable == nil {
			node.Status.Allocatable = node.Status.Capacity
		}
		info := framework.NewNodeInfo(node, nil)
		for number := range spec.Template.ResourceSlices {
			slice := spec.Template.ResourceSlices[number].DeepCopy()
			slice.Spec.NodeName = &node.Name
			info.LocalResourceSlices = append(info.LocalResourceSlices, slice)
		}
		templates[name] = info
	}
	return p, templates
}

func isMember(node *v1.Node, labels map[string]string) bool {
	for key, value := range labels {
		if node.Labels[key] != value {
			return false
		}
	}
	return len(labels) > 0
}

// snapshot sets up the context, with a snapshot of the cluster.
func (w *world) snapshot(options config.AutoscalingOptions) {
	ctx := context.Background()
	client := fake.NewClientset(w.all...)
	factory := informers.NewSharedInformerFactory(client, 0)
	listers := kubeutil.NewListerRegistryWithDefaultListers(factory)
	handle, err := framework.NewHandle(ctx, factory, nil, true, false)
	must(err)
	factory.Start(ctx.Done())
	factory.WaitForCacheSync(ctx.Done())
	processors, registry := processorstest.NewTestProcessors(options)
	w.processors = processors
	w.context, err = coretest.NewScaleTestAutoscalingContext(options, client, listers, w.provider, nil, nil, registry)
	must(err)
	ordered := &orderedStore{ClusterSnapshotStore: store.NewDeltaSnapshotStore(), numbers: map[string]int{}}
	w.context.FrameworkHandle = handle
	w.context.ClusterSnapshot = predicate.NewPredicateSnapshot(ordered, handle, true, 1, false)
	claims := drasnapshot.NewSnapshot(w.claims, w.local, w.global, w.classes)
	must(w.context.ClusterSnapshot.SetClusterState(w.nodes, w.scheduled, claims, nil))
	must(w.context.RemainingPdbTracker.SetPdbs(w.budgets))
}
