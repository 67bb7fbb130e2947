/* default_roles.c - the default roles and bindings: those of Kubernetes, by the names and rules
 * that its components and users count on, KubeVirt's for virtual machines, and hanok:node. */
#include "server/api/auth/default_roles.h"

#include "lib/base/str.h"

#define READ "get,list,watch"
#define WRITE "create,delete,deletecollection,patch,update"
#define MANAGE "create,delete,get,list,patch,update,watch"
#define ALL "create,delete,deletecollection,get,list,patch,update,watch"
#define EVENTS "create,patch,update core,events.k8s.io events"

/* The rules of a controller, and below the account it runs under. */
#define CONTROLLER(controller_name) .name = "system:controller:" controller_name

const struct default_role default_roles[] = {
	{.name = "cluster-admin", .rules = {"* * *", "* *"}},
	{.name = "admin", .aggregate = "aggregate-to-admin"},
	{.name = "edit", .labels = "aggregate-to-admin", .aggregate = "aggregate-to-edit"},
	{.name = "view", .labels = "aggregate-to-edit", .aggregate = "aggregate-to-view"},
	{.name = "system:aggregate-to-admin",
		.labels = "aggregate-to-admin",
		.rules = {"create authorization.k8s.io localsubjectaccessreviews",
			ALL " rbac.authorization.k8s.io rolebindings,roles"}},
	{.name = "system:aggregate-to-edit",
		.labels = "aggregate-to-edit",
		.rules = {READ " core pods/attach,pods/exec,pods/portforward,pods/proxy,secrets,"
			       "services/proxy",
			"impersonate core serviceaccounts",
			WRITE " core pods,pods/attach,pods/exec,pods/portforward,pods/proxy",
			"create core pods/eviction",
			WRITE
			" core configmaps,events,persistentvolumeclaims,replicationcontrollers,"
			"replicationcontrollers/scale,secrets,serviceaccounts,services,"
			"services/proxy",
			"create core serviceaccounts/token",
			WRITE " apps daemonsets,deployments,deployments/rollback,deployments/scale,"
			      "replicasets,replicasets/scale,statefulsets,statefulsets/scale",
			WRITE " autoscaling horizontalpodautoscalers", WRITE " batch cronjobs,jobs",
			WRITE " extensions daemonsets,deployments,deployments/rollback,"
			      "deployments/scale,ingresses,networkpolicies,replicasets,"
			      "replicasets/scale,replicationcontrollers/scale",
			WRITE " policy poddisruptionbudgets",
			WRITE " networking.k8s.io ingresses,networkpolicies",
			ALL " coordination.k8s.io leases"}},
	{.name = "system:aggregate-to-view",
		.labels = "aggregate-to-view",
		.rules = {READ
			" core configmaps,endpoints,persistentvolumeclaims,"
			"persistentvolumeclaims/status,pods,replicationcontrollers,"
			"replicationcontrollers/scale,serviceaccounts,services,services/status",
			READ " core bindings,events,limitranges,namespaces/status,pods/log,"
			     "pods/status,replicationcontrollers/status,resourcequotas,"
			     "resourcequotas/status",
			READ " core namespaces", READ " discovery.k8s.io endpointslices",
			READ
			" apps controllerrevisions,daemonsets,daemonsets/status,deployments,"
			"deployments/scale,deployments/status,replicasets,replicasets/scale,"
			"replicasets/status,statefulsets,statefulsets/scale,statefulsets/status",
			READ
			" autoscaling horizontalpodautoscalers,horizontalpodautoscalers/status",
			READ " batch cronjobs,cronjobs/status,jobs,jobs/status",
			READ " extensions daemonsets,daemonsets/status,deployments,"
			     "deployments/scale,deployments/status,ingresses,ingresses/status,"
			     "networkpolicies,replicasets,replicasets/scale,replicasets/status,"
			     "replicationcontrollers/scale",
			READ " policy poddisruptionbudgets,poddisruptionbudgets/status",
			READ " networking.k8s.io ingresses,ingresses/status,networkpolicies"}},
	{.name = "system:aggregated-metrics-reader",
		.labels = "aggregate-to-view",
		.rules = {READ " metrics.k8s.io nodes,pods,virtualmachineinstances"}},
	{.name = "kubevirt.io:default",
		.rules = {"get,list subresources.kubevirt.io version,guestfs",
			"get,list kubevirt.io kubevirts"}},
	{.name = "instancetype.kubevirt.io:view",
		.rules = {READ " instancetype.kubevirt.io virtualmachineclusterinstancetypes,"
			       "virtualmachineclusterpreferences"}},
	{.name = "cdi.kubevirt.io:config-reader",
		.rules = {"get cdi.kubevirt.io cdiconfigs", READ " cdi.kubevirt.io storageprofiles",
			"get,list cdi.kubevirt.io cdis"}},
	{.name = "cdi.kubevirt.io:admin",
		.labels = "aggregate-to-admin",
		.rules = {"* cdi.kubevirt.io *", "* upload.cdi.kubevirt.io uploadtokenrequests",
			READ " k8s.cni.cncf.io network-attachment-definitions"}},
	{.name = "cdi.kubevirt.io:edit",
		.labels = "aggregate-to-edit",
		.rules = {"* cdi.kubevirt.io *", "* upload.cdi.kubevirt.io uploadtokenrequests",
			READ " k8s.cni.cncf.io network-attachment-definitions"}},
	{.name = "cdi.kubevirt.io:view",
		.labels = "aggregate-to-view",
		.rules = {READ " cdi.kubevirt.io *",
			READ " k8s.cni.cncf.io network-attachment-definitions"}},
	{.name = "kubevirt.io:admin",
		.labels = "aggregate-to-admin",
		.rules = {"get subresources.kubevirt.io virtualmachineinstances/console,"
			  "virtualmachineinstances/vnc,virtualmachineinstances/vnc/screenshot,"
			  "virtualmachineinstances/portforward,virtualmachineinstances/usbredir,"
			  "virtualmachineinstances/guestosinfo,"
			  "virtualmachineinstances/filesystemlist,"
			  "virtualmachineinstances/userlist,virtualmachineinstances/objectgraph",
			"update subresources.kubevirt.io virtualmachineinstances/pause,"
			"virtualmachineinstances/unpause,virtualmachineinstances/save,"
			"virtualmachineinstances/restore,virtualmachineinstances/freeze,"
			"virtualmachineinstances/unfreeze,virtualmachineinstances/softreboot,"
			"virtualmachineinstances/exec,"
			"virtualmachineinstances/reset,virtualmachineinstances/addvolume,"
			"virtualmachineinstances/removevolume,"
			"virtualmachineinstances/evacuate",
			"get subresources.kubevirt.io virtualmachines/expand-spec,"
			"virtualmachines/portforward,virtualmachines/objectgraph",
			"update subresources.kubevirt.io expand-vm-spec",
			"update subresources.kubevirt.io virtualmachines/start,"
			"virtualmachines/stop,virtualmachines/restart,"
			"virtualmachines/addvolume,virtualmachines/removevolume,"
			"virtualmachines/memorydump,virtualmachines/removememorydump,"
			"virtualmachines/migrate,virtualmachines/evacuate",
			ALL " kubevirt.io virtualmachines,virtualmachineinstances,"
			    "virtualmachineinstancepresets,virtualmachineinstancereplicasets,"
			    "virtualmachineinstancemigrations",
			/* Not what is known of them: a snapshot's status says whose data it has. */
			ALL " snapshot.kubevirt.io virtualmachinesnapshots,"
			    "virtualmachinesnapshotcontents,virtualmachinerestores",
			ALL " export.kubevirt.io virtualmachineexports",
			ALL " clone.kubevirt.io virtualmachineclones",
			ALL " instancetype.kubevirt.io,pool.kubevirt.io,cdi.kubevirt.io *"}},
	{.name = "kubevirt.io:edit",
		.labels = "aggregate-to-edit",
		.rules = {"get subresources.kubevirt.io virtualmachineinstances/console,"
			  "virtualmachineinstances/vnc,virtualmachineinstances/vnc/screenshot,"
			  "virtualmachineinstances/portforward,virtualmachineinstances/usbredir,"
			  "virtualmachineinstances/guestosinfo,"
			  "virtualmachineinstances/filesystemlist,"
			  "virtualmachineinstances/userlist,virtualmachineinstances/objectgraph",
			"update subresources.kubevirt.io virtualmachineinstances/pause,"
			"virtualmachineinstances/unpause,virtualmachineinstances/save,"
			"virtualmachineinstances/restore,virtualmachineinstances/freeze,"
			"virtualmachineinstances/unfreeze,virtualmachineinstances/softreboot,"
			"virtualmachineinstances/exec,"
			"virtualmachineinstances/reset,virtualmachineinstances/addvolume,"
			"virtualmachineinstances/removevolume,"
			"virtualmachineinstances/evacuate",
			"get subresources.kubevirt.io virtualmachines/expand-spec,"
			"virtualmachines/portforward,virtualmachines/objectgraph",
			"update subresources.kubevirt.io expand-vm-spec",
			"update subresources.kubevirt.io virtualmachines/start,"
			"virtualmachines/stop,virtualmachines/restart,"
			"virtualmachines/addvolume,virtualmachines/removevolume,"
			"virtualmachines/memorydump,virtualmachines/removememorydump,"
			"virtualmachines/migrate,virtualmachines/evacuate",
			MANAGE " kubevirt.io virtualmachines,virtualmachineinstances,"
			       "virtualmachineinstancepresets,virtualmachineinstancereplicasets,"
			       "virtualmachineinstancemigrations",
			/* Not what is known of them: a snapshot's status says whose data it has. */
			MANAGE " snapshot.kubevirt.io virtualmachinesnapshots,"
			       "virtualmachinesnapshotcontents,virtualmachinerestores",
			MANAGE " export.kubevirt.io virtualmachineexports",
			MANAGE " clone.kubevirt.io virtualmachineclones",
			MANAGE " instancetype.kubevirt.io,pool.kubevirt.io,cdi.kubevirt.io *"}},
	{.name = "kubevirt.io:view",
		.labels = "aggregate-to-view",
		.rules = {"get subresources.kubevirt.io virtualmachineinstances/guestosinfo,"
			  "virtualmachineinstances/filesystemlist,"
			  "virtualmachineinstances/userlist,virtualmachines/expand-spec,"
			  "virtualmachineinstances/objectgraph,virtualmachines/objectgraph",
			"update subresources.kubevirt.io expand-vm-spec",
			READ " kubevirt.io virtualmachines,virtualmachineinstances,"
			     "virtualmachineinstancepresets,virtualmachineinstancereplicasets,"
			     "virtualmachineinstancemigrations",
			READ " snapshot.kubevirt.io,export.kubevirt.io,clone.kubevirt.io,"
			     "instancetype.kubevirt.io,pool.kubevirt.io,cdi.kubevirt.io *"}},
	{.name = "hanok.io:edit",
		.labels = "aggregate-to-edit",
		.rules = {ALL " hanok.io applications,applications/scale"}},
	{.name = "hanok.io:view",
		.labels = "aggregate-to-view",
		.rules = {READ " hanok.io applications,applications/scale,applications/status"}},
	{.name = "system:discovery",
		.rules = {"get /api,/api/*,/apis,/apis/*,/healthz,/livez,/openapi,/openapi/*,"
			  "/readyz,/version,/version/"}},
	{.name = "system:public-info-viewer",
		.rules = {"get /healthz,/livez,/readyz,/version,/version/"}},
	{.name = "system:basic-user",
		.rules = {"create authorization.k8s.io selfsubjectaccessreviews,"
			  "selfsubjectrulesreviews",
			"create authentication.k8s.io selfsubjectreviews"}},
	{.name = "system:monitoring",
		.rules = {"get /healthz,/healthz/*,/livez,/livez/*,/metrics,/metrics/slis,"
			  "/readyz,/readyz/*"}},
	{.name = "system:auth-delegator",
		.rules = {"create authentication.k8s.io tokenreviews",
			"create authorization.k8s.io subjectaccessreviews"}},
	{.name = "system:service-account-issuer-discovery",
		.rules = {"get /.well-known/openid-configuration,/openid/v1/jwks"}},
	{.name = "system:heapster",
		.rules = {READ " core events,namespaces,nodes,pods",
			READ " extensions deployments"}},
	{.name = "system:kube-aggregator", .rules = {READ " core endpoints,services"}},
	{.name = "system:kube-dns", .rules = {"list,watch core endpoints,services"}},
	{.name = "system:kubelet-api-admin",
		.rules = {READ " core nodes", "proxy core nodes",
			"* core nodes/log,nodes/metrics,nodes/proxy,nodes/stats",
			"* core nodes/configz,nodes/healthz,nodes/pods"}},
	{.name = "system:node-bootstrapper",
		.rules = {"create,get,list,watch certificates.k8s.io certificatesigningrequests"}},
	{.name = "system:node-problem-detector",
		.rules = {"get core nodes", "patch core nodes/status", EVENTS}},
	{.name = "system:node-proxier",
		.rules = {"list,watch core endpoints,services", READ " core nodes", EVENTS,
			"list,watch discovery.k8s.io endpointslices"}},
	{.name = "system:persistent-volume-provisioner",
		.rules = {"create,delete,get,list,watch core persistentvolumes",
			"get,list,update,watch core persistentvolumeclaims",
			READ " storage.k8s.io storageclasses", "watch core events", EVENTS}},
	{.name = "system:volume-scheduler",
		.rules = {"get,list,patch,update,watch core persistentvolumes",
			READ " storage.k8s.io storageclasses",
			"get,list,patch,update,watch core persistentvolumeclaims"}},
	{.name = "system:certificates.k8s.io:certificatesigningrequests:nodeclient",
		.rules = {"create certificates.k8s.io certificatesigningrequests/nodeclient"}},
	{.name = "system:certificates.k8s.io:certificatesigningrequests:selfnodeclient",
		.rules = {"create certificates.k8s.io certificatesigningrequests/selfnodeclient"}},
	{.name = "system:certificates.k8s.io:kube-apiserver-client-approver",
		.rules = {""
			  "approve certificates.k8s.io signers "
			  "kubernetes.io/kube-apiserver-client"}},
	{.name = "system:certificates.k8s.io:kube-apiserver-client-kubelet-approver",
		.rules = {""
			  "approve certificates.k8s.io signers "
			  "kubernetes.io/kube-apiserver-client-kubelet"}},
	{.name = "system:certificates.k8s.io:kubelet-serving-approver",
		.rules = {"approve certificates.k8s.io signers kubernetes.io/kubelet-serving"}},
	{.name = "system:certificates.k8s.io:legacy-unknown-approver",
		.rules = {"approve certificates.k8s.io signers kubernetes.io/legacy-unknown"}},
	{.name = "system:node",
		.rules = {"create authentication.k8s.io tokenreviews",
			"create authorization.k8s.io localsubjectaccessreviews,"
			"subjectaccessreviews",
			READ " core services", "create,get,list,watch core nodes",
			"patch,update core nodes/status", "patch,update core nodes",
			"create,patch,update core events", READ " core pods",
			"create,delete core pods", "patch,update core pods/status",
			"create core pods/eviction", READ " core configmaps,secrets",
			"get core persistentvolumeclaims,persistentvolumes", "get core endpoints",
			"create,get,list,watch certificates.k8s.io certificatesigningrequests",
			"create,delete,get,patch,update coordination.k8s.io leases",
			"get storage.k8s.io volumeattachments", "create core serviceaccounts/token",
			"get,patch,update core persistentvolumeclaims/status",
			READ " storage.k8s.io csidrivers",
			"create,delete,get,patch,update storage.k8s.io csinodes",
			READ " node.k8s.io runtimeclasses"}},
	{.name = "hanok:node",
		.rules = {READ
			" core endpoints,namespaces,persistentvolumeclaims,persistentvolumes",
			/* volumes out of its own directories */
			"create,delete,patch core persistentvolumes",
			READ " storage.k8s.io storageclasses", "create core namespaces",
			READ " discovery.k8s.io endpointslices",
			"get,list,patch,update,watch kubevirt.io virtualmachineinstances",
			"patch,update kubevirt.io virtualmachineinstances/status",
			READ " kubevirt.io virtualmachines,kubevirts",
			/* disks: what is to be filled, kept and offered */
			READ " cdi.kubevirt.io datavolumes,datasources,storageprofiles",
			"patch,update cdi.kubevirt.io datavolumes,datavolumes/status",
			READ " snapshot.kubevirt.io virtualmachinesnapshots,"
			     "virtualmachinesnapshotcontents",
			"patch,update snapshot.kubevirt.io virtualmachinesnapshotcontents,"
			"virtualmachinesnapshotcontents/status",
			READ " export.kubevirt.io virtualmachineexports",
			"patch,update export.kubevirt.io virtualmachineexports/status",
			READ " k8s.cni.cncf.io network-attachment-definitions",
			"create,patch,update events.k8s.io events",
			READ " networking.k8s.io networkpolicies"}},
	{.name = "system:kube-controller-manager",
		.rules = {EVENTS, "create coordination.k8s.io leases",
			"get,update coordination.k8s.io leases kube-controller-manager",
			"create core secrets,serviceaccounts", "delete core secrets",
			"get core configmaps,namespaces,secrets,serviceaccounts",
			"update core secrets,serviceaccounts",
			"create authentication.k8s.io tokenreviews",
			"create authorization.k8s.io subjectaccessreviews", "list,watch * *",
			"create core serviceaccounts/token"}},
	{.name = "system:kube-scheduler",
		.rules = {EVENTS, "create coordination.k8s.io leases",
			"get,update coordination.k8s.io leases kube-scheduler", READ " core nodes",
			"delete,get,list,watch core pods", "create core bindings,pods/binding",
			"patch,update core pods/status",
			READ " core replicationcontrollers,services",
			READ " apps,extensions replicasets", READ " apps statefulsets",
			READ " policy poddisruptionbudgets",
			READ " core persistentvolumeclaims,persistentvolumes",
			"create authentication.k8s.io tokenreviews",
			"create authorization.k8s.io subjectaccessreviews",
			READ " storage.k8s.io csinodes", READ " core namespaces",
			READ " storage.k8s.io csidrivers",
			READ " storage.k8s.io csistoragecapacities"}},
	{CONTROLLER("attachdetach-controller"),
		.rules = {"list,watch core persistentvolumeclaims,persistentvolumes",
			READ " core nodes", "patch,update core nodes/status",
			"list,watch core pods", EVENTS,
			"create,delete,get,list,watch storage.k8s.io volumeattachments",
			READ " storage.k8s.io csidrivers", READ " storage.k8s.io csinodes"}},
	{CONTROLLER("certificate-controller"),
		.rules = {"delete,get,list,watch certificates.k8s.io certificatesigningrequests",
			"update certificates.k8s.io certificatesigningrequests/approval,"
			"certificatesigningrequests/status",
			""
			"approve certificates.k8s.io signers "
			"kubernetes.io/kube-apiserver-client-kubelet",
			"sign certificates.k8s.io signers kubernetes.io/kube-apiserver-client,"
			"kubernetes.io/kube-apiserver-client-kubelet,"
			"kubernetes.io/kubelet-serving,kubernetes.io/legacy-unknown",
			"create authorization.k8s.io subjectaccessreviews", EVENTS}},
	{CONTROLLER("clusterrole-aggregation-controller"),
		.rules = {"escalate,get,list,patch,update,"
			  "watch rbac.authorization.k8s.io clusterroles"}},
	{CONTROLLER("cronjob-controller"),
		.rules = {"get,list,update,watch batch cronjobs", MANAGE " batch jobs",
			"update batch cronjobs/status", "update batch cronjobs/finalizers",
			"delete,list,watch core pods", EVENTS}},
	{CONTROLLER("daemon-set-controller"),
		.rules = {READ " apps,extensions daemonsets",
			"update apps,extensions daemonsets/status",
			"update apps,extensions daemonsets/finalizers", "list,watch core nodes",
			"create,delete,list,patch,watch core pods", "create core pods/binding",
			MANAGE " apps controllerrevisions", EVENTS}},
	{CONTROLLER("deployment-controller"),
		.rules = {"get,list,update,watch apps,extensions deployments",
			"update apps,extensions deployments/status",
			"update apps,extensions deployments/finalizers",
			MANAGE " apps,extensions replicasets", "get,list,update,watch core pods",
			EVENTS}},
	{CONTROLLER("disruption-controller"),
		.rules = {READ " apps,extensions deployments", READ " apps,extensions replicasets",
			READ " core replicationcontrollers", READ " policy poddisruptionbudgets",
			READ " apps statefulsets", "update policy poddisruptionbudgets/status",
			"patch,update core pods/status", "get * */scale", EVENTS}},
	{CONTROLLER("endpoint-controller"),
		.rules = {READ " core pods,services",
			"create,delete,get,list,update,watch core endpoints",
			"create core endpoints/restricted", EVENTS}},
	{CONTROLLER("endpointslice-controller"),
		.rules = {READ " core nodes,pods,services", "update core services/finalizers",
			"create,delete,get,list,update,watch discovery.k8s.io endpointslices",
			EVENTS}},
	{CONTROLLER("endpointslicemirroring-controller"),
		.rules = {READ " core endpoints,services", "update core services/finalizers",
			"update core endpoints/finalizers",
			"create,delete,get,list,update,watch discovery.k8s.io endpointslices",
			EVENTS}},
	{CONTROLLER("ephemeral-volume-controller"),
		.rules = {READ " core pods", "update core pods/finalizers",
			"create,get,list,watch core persistentvolumeclaims", EVENTS}},
	{CONTROLLER("expand-controller"),
		.rules = {"get,list,patch,update,watch core persistentvolumes",
			"patch,update core persistentvolumeclaims/status",
			READ " core persistentvolumeclaims", EVENTS}},
	{CONTROLLER("generic-garbage-collector"),
		.rules = {"delete,get,list,patch,update,watch * *", EVENTS}},
	{CONTROLLER("horizontal-pod-autoscaler"),
		.rules = {READ " autoscaling horizontalpodautoscalers",
			"update autoscaling horizontalpodautoscalers/status",
			"get,update * */scale", "list,watch core pods",
			"list,watch metrics.k8s.io pods", READ " custom.metrics.k8s.io *",
			READ " external.metrics.k8s.io *", EVENTS}},
	{CONTROLLER("job-controller"),
		.rules = {"get,list,patch,update,watch batch jobs", "update batch jobs/status",
			"update batch jobs/finalizers", "create,delete,list,patch,watch core pods",
			EVENTS}},
	{CONTROLLER("legacy-service-account-token-cleaner"),
		.rules =
			{""
			 "get core configmaps kube-apiserver-legacy-service-account-token-tracking",
				"delete,patch core secrets"}},
	{CONTROLLER("namespace-controller"),
		.rules = {"delete,get,list,watch core namespaces",
			"update core namespaces/finalize,namespaces/status",
			"delete,deletecollection,get,list,watch * *"}},
	{CONTROLLER("node-controller"),
		.rules = {"delete,get,list,patch,update,watch core nodes",
			"patch,update core nodes/status", "patch,update core pods/status",
			"delete,get,list,watch core pods", EVENTS}},
	{CONTROLLER("persistent-volume-binder"),
		.rules = {"create,delete,get,list,update,watch core persistentvolumes",
			"update core persistentvolumes/status",
			"get,list,update,watch core persistentvolumeclaims",
			"update core persistentvolumeclaims/status",
			"create,delete,get,list,watch core pods",
			READ " storage.k8s.io storageclasses", "list,watch core nodes", EVENTS,
			"watch core events"}},
	{CONTROLLER("pod-garbage-collector"),
		.rules = {"delete,list,watch core pods", READ " core nodes",
			"patch core pods/status"}},
	{CONTROLLER("pv-protection-controller"),
		.rules = {"get,list,update,watch core persistentvolumes", EVENTS}},
	{CONTROLLER("pvc-protection-controller"),
		.rules = {"get,list,update,watch core persistentvolumeclaims",
			"update core persistentvolumeclaims/status", READ " core pods", EVENTS}},
	{CONTROLLER("replicaset-controller"),
		.rules = {"get,list,update,watch apps,extensions replicasets",
			"update apps,extensions replicasets/status",
			"update apps,extensions replicasets/finalizers",
			"create,delete,list,patch,watch core pods", EVENTS}},
	{CONTROLLER("replication-controller"),
		.rules = {"get,list,update,watch core replicationcontrollers",
			"update core replicationcontrollers/status",
			"update core replicationcontrollers/finalizers",
			"create,delete,list,patch,watch core pods", EVENTS}},
	{CONTROLLER("resourcequota-controller"),
		.rules = {"list,watch * *", "update core resourcequotas/status", EVENTS}},
	{CONTROLLER("root-ca-cert-publisher"), .rules = {"create,update core configmaps", EVENTS}},
	{CONTROLLER("route-controller"),
		.rules = {"list,watch core nodes", "patch core nodes/status", EVENTS}},
	{CONTROLLER("selinux-warning-controller"),
		.rules = {EVENTS, READ " core persistentvolumes",
			READ " core persistentvolumeclaims", READ " core pods",
			READ " storage.k8s.io csidrivers"}},
	{CONTROLLER("service-account-controller"),
		.rules = {"create core serviceaccounts", EVENTS}},
	{CONTROLLER("service-cidrs-controller"),
		.rules = {"get,list,patch,update,watch networking.k8s.io servicecidrs",
			"patch,update networking.k8s.io servicecidrs/finalizers",
			"patch,update networking.k8s.io servicecidrs/status",
			READ " networking.k8s.io ipaddresses", EVENTS}},
	{CONTROLLER("service-controller"),
		.rules = {READ " core services", "patch,update core services/status",
			"list,watch core nodes", EVENTS}},
	{CONTROLLER("statefulset-controller"),
		.rules = {"list,watch core pods", READ " apps statefulsets",
			"update apps statefulsets/status", "update apps statefulsets/finalizers",
			"create,delete,get,patch,update core pods",
			MANAGE " apps controllerrevisions",
			"create,get,list,watch core persistentvolumeclaims",
			"delete,update core persistentvolumeclaims", "update core pods/finalizers",
			EVENTS}},
	{CONTROLLER("ttl-after-finished-controller"),
		.rules = {"delete,get,list,watch batch jobs", EVENTS}},
	{CONTROLLER("ttl-controller"), .rules = {"list,patch,update,watch core nodes", EVENTS}},
	{CONTROLLER("validatingadmissionpolicy-status-controller"),
		.rules = {READ " admissionregistration.k8s.io validatingadmissionpolicies",
			"get,patch,"
			"update admissionregistration.k8s.io validatingadmissionpolicies/status",
			EVENTS}},
	{CONTROLLER("volumeattributesclass-protection-controller"),
		.rules = {READ " core persistentvolumeclaims", READ " core persistentvolumes",
			"get,list,update,watch storage.k8s.io volumeattributesclasses", EVENTS}},
	{.namespace = "kube-public",
		CONTROLLER("bootstrap-signer"),
		.rules = {READ " core configmaps", "update core configmaps cluster-info", EVENTS}},
	{.namespace = "kube-system",
		.name = "extension-apiserver-authentication-reader",
		.rules = {READ " core configmaps extension-apiserver-authentication"}},
	{.namespace = "kube-system",
		.name = "system::leader-locking-kube-controller-manager",
		.rules = {"create,get,list,update,watch coordination.k8s.io leases",
			"create,get,list,update,watch coordination.k8s.io leasecandidates"}},
	{.namespace = "kube-system",
		.name = "system::leader-locking-kube-scheduler",
		.rules = {"create,get,list,update,watch coordination.k8s.io leases",
			"create,get,list,update,watch coordination.k8s.io leasecandidates"}},
	{.namespace = "kube-system",
		CONTROLLER("bootstrap-signer"),
		.rules = {READ " core secrets"}},
	{.namespace = "kube-system",
		CONTROLLER("cloud-provider"),
		.rules = {"create,get,list,watch core configmaps"}},
	{.namespace = "kube-system",
		CONTROLLER("token-cleaner"),
		.rules = {"delete,get,list,watch core secrets", EVENTS}},
};
const size_t default_role_count = ARRAY_LEN(default_roles);

#define CONTROLLER_BINDING(controller_name)                                                        \
	{                                                                                          \
		.name = "system:controller:" controller_name,                                      \
		.role = "system:controller:" controller_name,                                      \
		.subjects = "ServiceAccount kube-system " controller_name                          \
	}

const struct default_binding default_bindings[] = {
	{.name = "cluster-admin", .role = "cluster-admin", .subjects = "Group system:masters"},
	{.name = "system:monitoring",
		.role = "system:monitoring",
		.subjects = "Group system:monitoring"},
	{.name = "system:discovery",
		.role = "system:discovery",
		.subjects = "Group system:authenticated"},
	{.name = "system:basic-user",
		.role = "system:basic-user",
		.subjects = "Group system:authenticated"},
	{.name = "system:public-info-viewer",
		.role = "system:public-info-viewer",
		.subjects = "Group system:authenticated\n"
			    "Group system:unauthenticated"},
	{.name = "kubevirt.io:default",
		.role = "kubevirt.io:default",
		.subjects = "Group system:authenticated"},
	{.name = "instancetype.kubevirt.io:view",
		.role = "instancetype.kubevirt.io:view",
		.subjects = "Group system:authenticated"},
	{.name = "cdi.kubevirt.io:config-reader",
		.role = "cdi.kubevirt.io:config-reader",
		.subjects = "Group system:authenticated"},
	{.name = "system:node-proxier",
		.role = "system:node-proxier",
		.subjects = "User system:kube-proxy"},
	{.name = "system:kube-controller-manager",
		.role = "system:kube-controller-manager",
		.subjects = "User system:kube-controller-manager"},
	{.name = "system:kube-dns",
		.role = "system:kube-dns",
		.subjects = "ServiceAccount kube-system kube-dns"},
	{.name = "system:kube-scheduler",
		.role = "system:kube-scheduler",
		.subjects = "User system:kube-scheduler"},
	{.name = "system:volume-scheduler",
		.role = "system:volume-scheduler",
		.subjects = "User system:kube-scheduler"},
	{.name = "system:service-account-issuer-discovery",
		.role = "system:service-account-issuer-discovery",
		.subjects = "Group system:serviceaccounts"},
	{.name = "system:node", .role = "system:node", .subjects = "Group system:nodes"},
	{.name = "hanok:node", .role = "hanok:node", .subjects = "Group system:nodes"},
	CONTROLLER_BINDING("attachdetach-controller"),
	CONTROLLER_BINDING("certificate-controller"),
	CONTROLLER_BINDING("clusterrole-aggregation-controller"),
	CONTROLLER_BINDING("cronjob-controller"),
	CONTROLLER_BINDING("daemon-set-controller"),
	CONTROLLER_BINDING("deployment-controller"),
	CONTROLLER_BINDING("disruption-controller"),
	CONTROLLER_BINDING("endpoint-controller"),
	CONTROLLER_BINDING("endpointslice-controller"),
	CONTROLLER_BINDING("endpointslicemirroring-controller"),
	CONTROLLER_BINDING("ephemeral-volume-controller"),
	CONTROLLER_BINDING("expand-controller"),
	CONTROLLER_BINDING("generic-garbage-collector"),
	CONTROLLER_BINDING("horizontal-pod-autoscaler"),
	CONTROLLER_BINDING("job-controller"),
	CONTROLLER_BINDING("legacy-service-account-token-cleaner"),
	CONTROLLER_BINDING("namespace-controller"),
	CONTROLLER_BINDING("node-controller"),
	CONTROLLER_BINDING("persistent-volume-binder"),
	CONTROLLER_BINDING("pod-garbage-collector"),
	CONTROLLER_BINDING("pv-protection-controller"),
	CONTROLLER_BINDING("pvc-protection-controller"),
	CONTROLLER_BINDING("replicaset-controller"),
	CONTROLLER_BINDING("replication-controller"),
	CONTROLLER_BINDING("resourcequota-controller"),
	CONTROLLER_BINDING("root-ca-cert-publisher"),
	CONTROLLER_BINDING("route-controller"),
	CONTROLLER_BINDING("selinux-warning-controller"),
	CONTROLLER_BINDING("service-account-controller"),
	CONTROLLER_BINDING("service-cidrs-controller"),
	CONTROLLER_BINDING("service-controller"),
	CONTROLLER_BINDING("statefulset-controller"),
	CONTROLLER_BINDING("ttl-after-finished-controller"),
	CONTROLLER_BINDING("ttl-controller"),
	CONTROLLER_BINDING("validatingadmissionpolicy-status-controller"),
	CONTROLLER_BINDING("volumeattributesclass-protection-controller"),
	{.namespace = "kube-public",
		.name = "system:controller:bootstrap-signer",
		.role = "system:controller:bootstrap-signer",
		.subjects = "ServiceAccount kube-system bootstrap-signer"},
	{.namespace = "kube-system",
		.name = "system::extension-apiserver-authentication-reader",
		.role = "extension-apiserver-authentication-reader",
		.subjects = "User system:kube-controller-manager\n"
			    "User system:kube-scheduler"},
	{.namespace = "kube-system",
		.name = "system::leader-locking-kube-controller-manager",
		.role = "system::leader-locking-kube-controller-manager",
		.subjects = "User system:kube-controller-manager\n"
			    "ServiceAccount kube-system kube-controller-manager\n"
			    "ServiceAccount kube-system leader-election-controller"},
	{.namespace = "kube-system",
		.name = "system::leader-locking-kube-scheduler",
		.role = "system::leader-locking-kube-scheduler",
		.subjects = "User system:kube-scheduler\n"
			    "ServiceAccount kube-system kube-scheduler"},
	{.namespace = "kube-system",
		.name = "system:controller:bootstrap-signer",
		.role = "system:controller:bootstrap-signer",
		.subjects = "ServiceAccount kube-system bootstrap-signer"},
	{.namespace = "kube-system",
		.name = "system:controller:cloud-provider",
		.role = "system:controller:cloud-provider",
		.subjects = "ServiceAccount kube-system cloud-provider"},
	{.namespace = "kube-system",
		.name = "system:controller:token-cleaner",
		.role = "system:controller:token-cleaner",
		.subjects = "ServiceAccount kube-system token-cleaner"},
};
const size_t default_binding_count = ARRAY_LEN(default_bindings);

#define RBAC_GROUP "rbac.authorization.k8s.io"

static struct json *list_of(struct arena *a, struct str text)
{
	struct json *list = json_new_array(a);
	struct str part;
	while (str_split(&text, ',', &part))
		json_push(a, list,
			str_eq(part, "core") ? json_new_string(a, "")
					     : json_new_string_n(a, part.p, part.size));
	return list;
}

static struct json *rule_doc(struct arena *a, struct str line)
{
	struct str words[4] = {0};
	size_t n = 0;
	while (n < ARRAY_LEN(words) && str_split(&line, ' ', &words[n]))
		n++;
	struct json *rule = json_new_object(a);
	if (n == 2) {
		json_set(a, rule, "nonResourceURLs", list_of(a, words[1]));
	} else {
		json_set(a, rule, "apiGroups", list_of(a, words[1]));
		if (n > 3)
			json_set(a, rule, "resourceNames", list_of(a, words[3]));
		json_set(a, rule, "resources", list_of(a, words[2]));
	}
	json_set(a, rule, "verbs", list_of(a, words[0]));
	return rule;
}

static struct json *begin_doc(
	struct arena *a, const char *kind, const char *namespace, const char *name)
{
	struct json *doc = json_new_object(a);
	json_set_str(a, doc, "kind", kind);
	json_set_str(a, doc, "apiVersion", RBAC_GROUP "/v1");
	struct json *meta = json_object_at(a, doc, "metadata");
	json_set_str(a, meta, "name", name);
	if (namespace)
		json_set_str(a, meta, "namespace", namespace);
	json_set_str(a, json_object_at(a, meta, "labels"), "kubernetes.io/bootstrapping",
		"rbac-defaults");
	json_set_str(a, json_object_at(a, meta, "annotations"),
		"rbac.authorization.kubernetes.io/autoupdate", "true");
	return doc;
}

struct json *default_role_doc(struct arena *a, const struct default_role *r)
{
	struct json *doc =
		begin_doc(a, r->namespace ? "Role" : "ClusterRole", r->namespace, r->name);
	struct json *labels = json_path(doc, "metadata.labels");
	if (r->labels)
		json_set_str(a, labels, arena_printf(a, RBAC_GROUP "/%s", r->labels), "true");
	if (r->aggregate) {
		struct json *selectors = json_new_array(a), *selector = json_new_object(a);
		json_set_str(a, json_object_at(a, selector, "matchLabels"),
			arena_printf(a, RBAC_GROUP "/%s", r->aggregate), "true");
		json_push(a, selectors, selector);
		json_set(a, json_object_at(a, doc, "aggregationRule"), "clusterRoleSelectors",
			selectors);
	}
	struct json *rules = json_new_array(a);
	for (size_t i = 0; i < DEFAULT_RULES_MAX && r->rules[i]; i++)
		json_push(a, rules, rule_doc(a, str_from(r->rules[i])));
	json_set(a, doc, "rules", rules);
	return doc;
}

static struct json *subject_doc(struct arena *a, struct str line)
{
	struct str kind, namespace = {0}, name;
	struct json *s = json_new_object(a);
	(void)str_split(&line, ' ', &kind);
	bool account = str_eq(kind, "ServiceAccount");
	json_set(a, s, "kind", json_new_string_n(a, kind.p, kind.size));
	if (account)
		(void)str_split(&line, ' ', &namespace);
	else
		json_set_str(a, s, "apiGroup", RBAC_GROUP);
	name = line;
	json_set(a, s, "name", json_new_string_n(a, name.p, name.size));
	if (account)
		json_set(a, s, "namespace", json_new_string_n(a, namespace.p, namespace.size));
	return s;
}

struct json *default_binding_doc(struct arena *a, const struct default_binding *b)
{
	struct json *doc = begin_doc(
		a, b->namespace ? "RoleBinding" : "ClusterRoleBinding", b->namespace, b->name);
	struct json *subjects = json_new_array(a), *ref = json_object_at(a, doc, "roleRef");
	struct str rest = str_from(b->subjects), line;
	while (str_split(&rest, '\n', &line))
		json_push(a, subjects, subject_doc(a, line));
	json_set(a, doc, "subjects", subjects);
	json_set_str(a, ref, "apiGroup", RBAC_GROUP);
	json_set_str(a, ref, "kind", b->namespace ? "Role" : "ClusterRole");
	json_set_str(a, ref, "name", b->role);
	return doc;
}
