use super::*;

fn read(text: &str) -> Result<SchedulerConfiguration, Vec<String>> {
    let text =
        format!("apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\n{text}");
    SchedulerConfiguration::read("scheduler.yaml", &text)
        .map_err(|errors| errors.faults.iter().map(ToString::to_string).collect())
}

fn faults(text: &str) -> Vec<String> {
    read(text).expect_err("the configuration has a fault")
}

#[test]
fn profiles_have_plugins_and_arguments() {
    let read = read(
        "percentageOfNodesToScore: 30\nleaderElection: {leaderElect: true}\nprofiles:\n- schedulerName: packing\n  \
         percentageOfNodesToScore: 50\n  plugins:\n    multiPoint:\n      enabled: [{name: TaintToleration, weight: 7}]\n    \
         score:\n      disabled: [{name: '*'}]\n  pluginConfig:\n  - name: NodeResourcesFit\n    args:\n      \
         scoringStrategy:\n        type: MostAllocated\n        resources: [{name: cpu, weight: 3}, {name: example.com/gpu}]\n  \
         - name: DefaultPreemption\n    args: {minCandidateNodesPercentage: 20}\n",
    )
    .unwrap();
    assert_eq!(read.percentage_of_nodes_to_score, 30);
    assert_eq!(read.without_effect, ["`leaderElection`: there is no API server to talk to"]);
    let [profile] = read.profiles.as_slice() else { panic!("one profile") };
    assert_eq!(
        (profile.scheduler_name.as_str(), profile.percentage_of_nodes_to_score),
        ("packing", Some(50))
    );
    assert_eq!(profile.plugins["multiPoint"].enabled, [("TaintToleration".to_owned(), 7)]);
    assert_eq!(profile.plugins["score"].disabled, ["*"]);
    let fit = profile.arguments.fit.as_ref().unwrap();
    assert_eq!(fit.strategy, FitStrategy::MostAllocated);
    assert_eq!(fit.resources, [("cpu".to_owned(), 3), ("example.com/gpu".to_owned(), 1)]);
    assert_eq!(profile.arguments.preemption, Some((20, 100)));
}

#[test]
fn a_config_map_holds_a_configuration() {
    let text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: scheduler}\ndata:\n  other: text\n  config.yaml: |\n    \
                apiVersion: kubescheduler.config.k8s.io/v1\n    kind: KubeSchedulerConfiguration\n    profiles:\n    \
                - schedulerName: packing\n      percentageOfNodesToScore: 101\n";
    let errors = SchedulerConfiguration::read("dump.yaml", text).unwrap_err();
    let expected = "dump.yaml[config.yaml]:5:29: `profiles[0].percentageOfNodesToScore`: 101 is not in valid range [0-100]";
    assert_eq!(errors.to_string(), expected);
}

#[test]
fn what_upstream_refuses_is_refused_with_its_line() {
    let profile = |text: &str| faults(&format!("profiles:\n- schedulerName: a\n  {text}\n"));
    let arguments =
        |name: &str, text: &str| profile(&format!("pluginConfig: [{{name: {name}, args: {text}}}]"));
    let of = |place: &str, field: &str, message: &str| {
        vec![format!("scheduler.yaml:{place}: `{field}`: {message}")]
    };
    assert_eq!(
        faults("parallelism: 0\n"),
        of("3:14", "parallelism", "should be an integer value greater than zero")
    );
    assert_eq!(faults("unknown: 1\n"), of("3:1", "unknown", "unknown field"));
    let shape = "{scoringStrategy: {type: RequestedToCapacityRatio, requestedToCapacityRatio: {shape: [{utilization: 1, score: 11}]}}}";
    let found = arguments("NodeResourcesFit", shape);
    let field = "profiles[0].pluginConfig[0].args.scoringStrategy.requestedToCapacityRatio.shape[0].score";
    assert!(found[0].contains(&format!("`{field}`: not in valid range [0, 10]")), "{found:?}");
    let refused = [
        ("NodeResourcesFit", "{scoringStrategy: {type: Best}}"),
        ("NodeResourcesFit", "{scoringStrategy: {type: RequestedToCapacityRatio}}"),
        (
            "NodeResourcesFit",
            "{scoringStrategy: {type: LeastAllocated, resources: [{name: cpu, weight: 101}]}}",
        ),
        ("NodeResourcesFit", "{ignoredResourceGroups: [a/b]}"),
        ("NodeResourcesBalancedAllocation", "{resources: [{name: cpu, weight: 2}]}"),
        ("NodeResourcesBalancedAllocation", "{resources: [{name: cpu}, {name: cpu}]}"),
        (
            "PodTopologySpread",
            "{defaultConstraints: [{maxSkew: 1, topologyKey: a, whenUnsatisfiable: ScheduleAnyway}]}",
        ),
        (
            "PodTopologySpread",
            "{defaultingType: List, defaultConstraints: [{topologyKey: a, whenUnsatisfiable: ScheduleAnyway}]}",
        ),
        ("InterPodAffinity", "{hardPodAffinityWeight: 101}"),
        ("DefaultPreemption", "{minCandidateNodesPercentage: 0, minCandidateNodesAbsolute: 0}"),
        ("DynamicResources", "{filterTimeout: ten}"),
        ("DynamicResources", "{bindingTimeout: 10ms}"),
        ("VolumeBinding", "{bindTimeoutSeconds: -1}"),
        ("NodeAffinity", "{kind: NodeResourcesFitArgs}"),
        ("CinderLimits", "{}"),
    ];
    for (plugin, text) in refused {
        assert_eq!(arguments(plugin, text).len(), 1, "{plugin} {text}");
    }
    let twice = faults("profiles: [{schedulerName: a}, {schedulerName: a}]\n");
    assert_eq!(twice, of("3:32", "profiles[1]", "scheduler name `a` is used by a profile before"));
}

#[test]
fn constraints_are_by_qualified_labels() {
    let spread = "profiles: [{pluginConfig: [{name: PodTopologySpread, args: {defaultingType: List, defaultConstraints: \
                  [{maxSkew: 1, topologyKey: topology.kubernetes.io/zone, whenUnsatisfiable: DoNotSchedule}]}}]}]\n";
    let read = read(spread).unwrap();
    let constraints = read.profiles[0].arguments.default_constraints.as_ref().unwrap();
    assert!(constraints[0].required);
    assert_eq!(constraints[0].topology_key, "topology.kubernetes.io/zone");
    assert_eq!(faults(&spread.replace("io/zone", "io/zo ne")).len(), 1);
}

#[test]
fn durations_are_those_of_go() {
    for (text, wrong) in
        [("10s", false), ("1m30.5s", false), ("0", false), ("1", true), ("", true), (".s", true)]
    {
        let found = read(&format!(
            "profiles:\n- pluginConfig: [{{name: DynamicResources, args: {{filterTimeout: '{text}'}}}}]\n"
        ));
        assert_eq!(found.is_err(), wrong, "{text}");
    }
}

#[test]
fn a_release_knows_only_its_own_fields() {
    let read = |fields: &str, release: Release| {
        let text = format!(
            "apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\nprofiles:\n- {fields}\n"
        );
        SchedulerConfiguration::read_for("scheduler.yaml", &text, release)
            .map_err(|errors| errors.to_string())
    };
    let since = [
        ("pluginConfig: [{name: DynamicResources, args: {filterTimeout: 1s}}]", Release::V1_34),
        ("pluginConfig: [{name: DynamicResources, args: {bindingTimeout: 1s}}]", Release::V1_35),
        ("plugins: {placementGenerate: {disabled: [{name: '*'}]}}", Release::V1_36),
        ("plugins: {placementScore: {disabled: [{name: '*'}]}}", Release::V1_36),
        ("plugins: {podGroupPostFilter: {disabled: [{name: '*'}]}}", Release::V1_37),
    ];
    for (fields, first) in since {
        for release in Release::ALL {
            let found = read(fields, release);
            assert_eq!(found.is_ok(), release >= first, "{fields} in {release}: {found:?}");
            assert!(found.err().is_none_or(|text| text.ends_with("unknown field")), "{fields}");
        }
    }
    let strategy = "pluginConfig: [{name: NodeResourcesFit, args: {scoringStrategy: {type: LeastAllocated, \
                    requestedToCapacityRatio: {shape: [{utilization: 0, score: 1}]}}}}]";
    for release in Release::ALL {
        assert_eq!(read(strategy, release).is_ok(), release < Release::V1_36, "{release}");
    }
}
