//! The remediation workflows that the simulator runs.
//!
//! In parameters, `{app}`, `{node}`, `{namespace}` and `{secret}` stand for what a run works on. The
//! secrets are made up; they are there so that redaction has something to do.

/// A workflow: what it answers, and its plan.
pub(super) struct Workflow {
    pub(super) name: &'static str,
    /// With how prone to fail each is, 1 being average: versions differ, so that comparing them shows it.
    pub(super) versions: &'static [(&'static str, f64)],
    pub(super) incident_type: &'static str,
    /// apiVersion and kind.
    pub(super) target: (&'static str, &'static str),
    pub(super) steps: &'static [Step],
}

/// One step of a plan.
pub(super) struct Step {
    pub(super) name: &'static str,
    pub(super) action: &'static str,
    /// The shortest and longest usual run.
    pub(super) seconds: (u64, u64),
    /// Whether the workflow fails when it does.
    pub(super) critical: bool,
    /// Keys, and values as JSON where they parse as such, else text.
    pub(super) parameters: &'static [(&'static str, &'static str)],
    /// What it says when it fails.
    pub(super) failures: &'static [&'static str],
}

const fn step(
    (name, action): (&'static str, &'static str),
    seconds: (u64, u64),
    parameters: &'static [(&'static str, &'static str)],
    failures: &'static [&'static str],
) -> Step {
    Step { name, action, seconds, critical: true, parameters, failures }
}

/// A step that the workflow can do without.
const fn optional(step: Step) -> Step {
    Step { critical: false, ..step }
}

const NOTIFY: Step = optional(step(
    ("Tell the on-call channel", "send-notification"),
    (1, 4),
    &[("channel", "#sre-oncall"), ("webhookToken", "{secret}")],
    &["POST https://hooks.chat.example.com/: 503 Service Unavailable", "webhook answered 429: rate limited"],
));

const DEPLOYMENT: (&str, &str) = ("apps/v1", "Deployment");

pub(super) const WORKFLOWS: &[Workflow] = &[
    Workflow {
        name: "restart-crashlooping-pod",
        versions: &[("v1.3.0", 1.3), ("v1.4.2", 0.8)],
        incident_type: "CrashLoopBackOff",
        target: DEPLOYMENT,
        steps: &[
            step(
                ("Collect logs of the last crash", "collect-logs"),
                (2, 8),
                &[("tailLines", "500"), ("previous", "true")],
                &["container \"{app}\" in pod is waiting to start: ContainerCreating"],
            ),
            step(
                ("Check recent configuration changes", "diff-config"),
                (1, 5),
                &[("since", "1h")],
                &["configmaps \"{app}-config\" not found"],
            ),
            step(
                ("Delete the crashing pod", "delete-pod"),
                (3, 15),
                &[("gracePeriodSeconds", "30")],
                &["Cannot evict pod as it would violate the pod's disruption budget."],
            ),
            step(
                ("Wait until it is ready", "wait-ready"),
                (10, 60),
                &[("deployment", "{app}"), ("timeout", "120s")],
                &[
                    "timed out waiting for the condition: 2 of 3 replicas ready",
                    "back-off 5m0s restarting failed container={app}",
                ],
            ),
            NOTIFY,
        ],
    },
    Workflow {
        name: "clean-disk-pressure",
        versions: &[("v2.0.1", 0.9), ("v2.1.0", 1.2)],
        incident_type: "NodeDiskPressure",
        target: ("v1", "Node"),
        steps: &[
            step(
                ("Cordon the node", "cordon-node"),
                (1, 3),
                &[("node", "{node}")],
                &["nodes \"{node}\" is forbidden: cannot patch resource \"nodes\""],
            ),
            step(
                ("Prune unused images", "prune-images"),
                (15, 90),
                &[
                    ("olderThan", "72h"),
                    ("registryCredentials", r#"{"username":"puller","password":"{secret}"}"#),
                ],
                &["rpc error: code = DeadlineExceeded desc = context deadline exceeded"],
            ),
            optional(step(
                ("Truncate oversized container logs", "truncate-logs"),
                (3, 12),
                &[("maxBytes", "104857600")],
                &["open /var/log/pods/{namespace}_{app}/0.log: permission denied"],
            )),
            step(
                ("Check that pressure is gone", "verify-node-condition"),
                (5, 30),
                &[("condition", "DiskPressure"), ("expected", "\"False\"")],
                &["node {node} still reports DiskPressure: 91% of /dev/nvme0n1p1 in use"],
            ),
            step(
                ("Uncordon the node", "uncordon-node"),
                (1, 3),
                &[("node", "{node}")],
                &["connection refused"],
            ),
        ],
    },
    Workflow {
        name: "rollout-memory-leak",
        versions: &[("v1.0.0", 1.4), ("v1.1.0", 1.0), ("v1.2.0", 0.6)],
        incident_type: "OOMKilled",
        target: DEPLOYMENT,
        steps: &[
            step(
                ("Take a heap profile", "capture-heap-profile"),
                (5, 25),
                &[
                    ("endpoint", "http://{app}.{namespace}:6060/debug/pprof/heap"),
                    ("bearerToken", "{secret}"),
                ],
                &["Get \"http://{app}:6060/debug/pprof/heap\": dial tcp: connection refused"],
            ),
            step(
                ("Raise the memory limit", "patch-resources"),
                (1, 4),
                &[("memoryLimit", "1Gi"), ("container", "{app}")],
                &["exceeded quota: compute, requested: limits.memory=2Gi, limited: limits.memory=16Gi"],
            ),
            step(
                ("Restart by rollout", "rollout-restart"),
                (20, 120),
                &[("maxUnavailable", "1"), ("deployment", "{app}")],
                &["deployment \"{app}\" exceeded its progress deadline"],
            ),
            step(
                ("Watch memory", "observe-metric"),
                (20, 60),
                &[("query", "container_memory_working_set_bytes{pod=~\"{app}-.*\"}"), ("threshold", "0.8")],
                &["memory of {app} is at 0.94 of its limit and rising"],
            ),
        ],
    },
    Workflow {
        name: "renew-certificate",
        versions: &[("v0.9.0", 1.5), ("v1.0.3", 0.7)],
        incident_type: "CertificateExpiring",
        target: ("cert-manager.io/v1", "Certificate"),
        steps: &[
            step(
                ("Request a new certificate", "issue-certificate"),
                (5, 40),
                &[("issuer", "letsencrypt"), ("dnsProviderApiKey", "{secret}")],
                &["acme: urn:ietf:params:acme:error:rateLimited: too many certificates already issued"],
            ),
            step(
                ("Check the chain", "verify-chain"),
                (1, 4),
                &[("minValidity", "720h")],
                &["x509: certificate signed by unknown authority"],
            ),
            step(
                ("Put it in place", "update-tls-secret"),
                (1, 3),
                &[("name", "{app}-tls"), ("privateKey", "{secret}")],
                &["Operation cannot be fulfilled: the object has been modified"],
            ),
            step(
                ("Reload the ingress", "reload-ingress"),
                (3, 15),
                &[("ingressClass", "nginx")],
                &["nginx: [emerg] cannot load certificate: PEM_read_bio_X509_AUX() failed"],
            ),
        ],
    },
    Workflow {
        name: "drain-unhealthy-node",
        versions: &[("v3.2.0", 1.0), ("v3.3.0", 1.0)],
        incident_type: "NodeNotReady",
        target: ("v1", "Node"),
        steps: &[
            step(
                ("Cordon the node", "cordon-node"),
                (1, 3),
                &[("node", "{node}")],
                &["nodes \"{node}\" not found"],
            ),
            step(
                ("Move its pods away", "drain-node"),
                (30, 180),
                &[("node", "{node}"), ("ignoreDaemonSets", "true"), ("deleteEmptyDirData", "true")],
                &[
                    "error when evicting pods/\"{app}-0\": violates the pod's disruption budget",
                    "global timeout reached: 10m0s",
                ],
            ),
            step(
                ("Restart the kubelet", "restart-kubelet"),
                (5, 30),
                &[("sshUser", "ops"), ("sshPrivateKey", "{secret}")],
                &["ssh: handshake failed: i/o timeout"],
            ),
            step(
                ("Wait until it is ready", "wait-node-ready"),
                (10, 90),
                &[("timeout", "300s")],
                &["node {node} is NotReady: container runtime is down"],
            ),
            step(
                ("Uncordon the node", "uncordon-node"),
                (1, 3),
                &[("node", "{node}")],
                &["connection refused"],
            ),
            NOTIFY,
        ],
    },
    Workflow {
        name: "failover-database",
        versions: &[("v1.8.0", 1.1), ("v1.9.0", 1.3), ("v2.0.0", 0.5)],
        incident_type: "PrimaryUnavailable",
        target: ("apps/v1", "StatefulSet"),
        steps: &[
            step(
                ("Confirm that the primary is down", "probe-primary"),
                (3, 10),
                &[("host", "{app}-0.{app}.{namespace}"), ("dbPassword", "{secret}")],
                &["the primary answers again: lag 0 bytes"],
            ),
            step(
                ("Fence the old primary", "fence-instance"),
                (2, 10),
                &[("instance", "{app}-0")],
                &["lease {app}-leader is held by {app}-0 and was renewed 2s ago"],
            ),
            step(
                ("Promote the best replica", "promote-replica"),
                (5, 45),
                &[("candidate", "{app}-1"), ("maxLagBytes", "1048576")],
                &[
                    "replica {app}-1 is 48 MB behind; refusing to promote",
                    "pg_promote: server did not promote within 60 seconds",
                ],
            ),
            step(
                ("Point the service at it", "switch-service"),
                (1, 4),
                &[("service", "{app}"), ("selector", r#"{"role":"primary"}"#)],
                &["services \"{app}\" not found"],
            ),
            step(
                ("Rebuild the old primary as a replica", "rebuild-replica"),
                (30, 150),
                &[("method", "pg_basebackup"), ("replicationSecret", "{secret}")],
                &["pg_basebackup: error: could not connect to server: FATAL: no pg_hba.conf entry"],
            ),
            NOTIFY,
        ],
    },
    Workflow {
        name: "rollback-bad-config",
        versions: &[("v1.1.0", 0.8), ("v1.2.0", 1.2)],
        incident_type: "ConfigRegression",
        target: ("v1", "ConfigMap"),
        steps: &[
            step(
                ("Find the last good revision", "find-good-revision"),
                (2, 8),
                &[("source", "git"), ("gitToken", "{secret}")],
                &["no revision of {app}-config in the last 30 days passed its checks"],
            ),
            step(
                ("Put it back", "apply-config"),
                (1, 4),
                &[("name", "{app}-config")],
                &[
                    "admission webhook \"validate.config.example.com\" denied the request: replicas must be odd",
                ],
            ),
            step(
                ("Restart what reads it", "rollout-restart"),
                (15, 90),
                &[("deployment", "{app}")],
                &["deployment \"{app}\" exceeded its progress deadline"],
            ),
            step(
                ("Compare error rates", "observe-metric"),
                (10, 45),
                &[
                    ("query", "rate(http_requests_total{app=\"{app}\",code=~\"5..\"}[1m])"),
                    ("threshold", "0.01"),
                ],
                &["error rate is 0.07, above 0.01"],
            ),
        ],
    },
    Workflow {
        name: "tune-autoscaler",
        versions: &[("v0.4.0", 1.2), ("v0.5.1", 0.9)],
        incident_type: "HighLatency",
        target: ("autoscaling/v2", "HorizontalPodAutoscaler"),
        steps: &[
            step(
                ("Read latency and load", "query-metrics"),
                (2, 6),
                &[
                    ("window", "15m"),
                    ("prometheus", r#"{"url":"http://prometheus:9090","authorization":"Bearer {secret}"}"#),
                ],
                &["prometheus: query timed out in expression evaluation"],
            ),
            step(
                ("Raise the replica bounds", "patch-hpa"),
                (1, 3),
                &[("minReplicas", "4"), ("maxReplicas", "20")],
                &[
                    "HorizontalPodAutoscaler is invalid: spec.maxReplicas: must be greater than or equal to minReplicas",
                ],
            ),
            step(
                ("Wait for capacity", "wait-scale"),
                (15, 75),
                &[("deployment", "{app}")],
                &["0/12 nodes are available: 12 Insufficient cpu. preemption: no victims found"],
            ),
            optional(step(
                ("Check the latency goal", "verify-slo"),
                (10, 40),
                &[("p99Millis", "250")],
                &["p99 is 412 ms, above 250 ms"],
            )),
        ],
    },
];

pub(super) const APPS: &[&str] =
    &["checkout", "payments", "catalog", "search", "inventory", "gateway", "sessions", "ledger", "mailer"];
pub(super) const NAMESPACES: &[&str] = &["shop", "payments", "platform", "search", "staging"];
pub(super) const TEAMS: &[&str] = &["storefront", "payments", "platform", "data"];
