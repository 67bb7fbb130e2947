#!/bin/bash
# Who asks and what he may: certificates, tokens, roles, impersonation, and the words of refusals.
. "$(dirname "$0")/../lib.sh"
mkdir -p "$TEST_DIR/files"
printf 'static-bob,bob,uid-bob,"devs,ops"\nstatic-root,root,uid-root,system:masters\n' >"$TEST_DIR/files/tokens"
start_server --token-auth-file "$TEST_DIR/files/tokens" --tls-san api.example.org
use_namespace auth-test
URL=https://127.0.0.1:$SERVER_PORT

# as TOKEN ARG...: kubectl with a bearer token. user NAME ARG...: with a certificate.
as() {
	local token=$1
	shift
	HOME=$TEST_DIR "$KUBECTL" --kubeconfig /dev/null --server "$URL" --certificate-authority "$SERVER_DIR/pki/ca.crt" \
		--token "$token" -n auth-test "$@"
}
user() {
	local name=$1
	shift
	[ -e "$TEST_DIR/files/$name" ] ||
		"$HANOK" kubeconfig --data "$SERVER_DIR" --server "$URL" --user "$name" --group devs >"$TEST_DIR/files/$name"
	HOME=$TEST_DIR "$KUBECTL" --kubeconfig "$TEST_DIR/files/$name" -n auth-test "$@"
}
open() { curl -sS --max-time 60 --cacert "$SERVER_DIR/pki/ca.crt" "$URL$1" "${@:2}"; }
gone() { ! k get "$@"; }
code() { open "$@" -o /dev/null -w '%{http_code}'; }

# --- who ---
check_output "the admin" 'kubernetes-admin.*\[system:masters system:authenticated\]' k auth whoami
check_output "a user by certificate" 'alice.*\[devs system:authenticated\]' user alice auth whoami
check_output "a static token" 'bob.*uid-bob.*\[devs ops system:authenticated\]' as static-bob auth whoami
check_output "a static token of an administrator" 'No resources' as static-root get pods
check_refused "a wrong token" 'Unauthorized' as nonsense get pods
check_output "anonymous sees little" '^200 403 403 403$' sh -c "
	for path in /version /api /metrics /api/v1/pods; do
		curl -sS --cacert $SERVER_DIR/pki/ca.crt -o /dev/null -w '%{http_code} ' $URL\$path
	done | sed 's/ \$//'"
check_output "what is no bearer token is no credential" '^403$' code /api/v1/pods -H 'Authorization: Basic YTpi'
check_output "the words of 401" '"message":"Unauthorized","reason":"Unauthorized","code":401' \
	open /api/v1/pods -H 'Authorization: Bearer x'
check_output "the certificate is good for further names" 'api.example.org' \
	sh -c "openssl x509 -in $SERVER_DIR/pki/server.crt -noout -ext subjectAltName"

strange() { # DAYS CA: a certificate of system:masters
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$TEST_DIR/files/other.key" -out "$TEST_DIR/files/other.crt" \
		-days 2 -subj /CN=hanok 2>/dev/null
	openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$TEST_DIR/files/s.key" -out "$TEST_DIR/files/s.csr" \
		-subj /O=system:masters/CN=mallory 2>/dev/null
	openssl x509 -req -in "$TEST_DIR/files/s.csr" -CA "$2.crt" -CAkey "$2.key" -CAcreateserial -CAserial "$TEST_DIR/files/serial" \
		-days "$1" -out "$TEST_DIR/files/s.crt" 2>/dev/null
}
shown() { code /api/v1/nodes --cert "$TEST_DIR/files/s.crt" --key "$TEST_DIR/files/s.key" "$@"; }
strange 2 "$TEST_DIR/files/other"
strange 2 "$TEST_DIR/files/other"
check_output "a certificate of another authority" '^401$' shown
check_output "is no help, and no harm, to a token" '^200$' shown -H 'Authorization: Bearer static-root'
strange 2 "$SERVER_DIR/pki/ca"
check_output "the same of ours" '^200$' shown
strange 0 "$SERVER_DIR/pki/ca"
check_output "one that has ended" '^401$' shown
serial() { openssl s_client -connect "127.0.0.1:$SERVER_PORT" </dev/null 2>/dev/null | openssl x509 -noout -serial; }
SERIAL=$(serial)
rm "$SERVER_DIR/pki/server.crt"
kill -HUP "$SERVER_PID"
renewed() { [ "$(serial)" != "$SERIAL" ]; }
check "certificates are renewed while it runs" eventually 20 renewed
check_output "and are good" 'No resources' k get pods
check "a namespace after that" k create namespace renewed
published() { [ "$(k get configmap kube-root-ca.crt -n renewed -o 'jsonpath={.data.ca\.crt}')" = "$(cat "$SERVER_DIR/pki/ca.crt")" ]; }
check "is told the authority" eventually 20 published

# --- refusals ---
check_refused "in a namespace" 'pods is forbidden: User "alice" cannot list resource "pods" in API group "" in the namespace "auth-test"' \
	user alice get pods
check_refused "an object" 'deployments.apps "d" is forbidden: User "alice" cannot get resource "deployments" in API group "apps" in the namespace "auth-test"' \
	user alice get deployments.apps d
check_refused "at the cluster scope" 'nodes is forbidden: User "alice" cannot list resource "nodes" in API group "" at the cluster scope' \
	user alice get nodes
check_refused "a path" 'forbidden: User "alice" cannot get path "/metrics"' user alice get --raw /metrics
check_refused "403 comes before 404" 'things.example.org is forbidden: User "alice" cannot list resource "things"' \
	user alice get --raw /apis/example.org/v1/things
check_refused "and 404 after it" 'the server could not find the requested resource' k get --raw /apis/apps/v1/things

# --- roles and bindings, by kubectl's generators ---
check "create role" k create role reader --verb=get,list,watch --resource=pods,pods/log
check "create rolebinding" k create rolebinding reader --role=reader --user=alice
check_output "which counts at once" 'No resources' user alice get pods
check_refused "here only" 'in the namespace "kube-system"' user alice get pods -n kube-system
check "create clusterrole" k create clusterrole urls --verb=get --non-resource-url=/metrics
check "create clusterrolebinding" k create clusterrolebinding urls --clusterrole=urls --group=devs
check_output "a path" 'apiserver_request_total' user alice get --raw /metrics
check "create clusterrole with aggregation" k create clusterrole gathered --aggregation-rule=example.org/gather=yes
check "a role to gather" k create clusterrole part --verb=get --resource=configmaps
check "labelled so" k label clusterrole part example.org/gather=yes
check "is gathered" eventually 20 matches 'configmaps' k get clusterrole gathered -o yaml
check_output "columns" 'NAME +ROLE +AGE +USERS +GROUPS +SERVICEACCOUNTS.*reader +Role/reader +[0-9hms]+ +alice' \
	k get rolebindings reader -o wide
check_output "when made" 'NAME +CREATED AT.*reader +20[0-9-]+T[0-9:]+Z' k get roles
check_output "described" 'Resources +Non-Resource URLs +Resource Names +Verbs.*pods/log' k describe role reader
check_refused "roleRef can't change" 'roleRef: Invalid value: .*: cannot change roleRef' \
	k patch rolebinding reader -p '{"roleRef":{"apiGroup":"rbac.authorization.k8s.io","kind":"Role","name":"x"}}'
check_output "rules have verbs" 'rules\[0\].verbs: Required value: verbs must contain at least one value' \
	raw /apis/rbac.authorization.k8s.io/v1/namespaces/auth-test/roles -H 'Content-Type: application/json' \
	-d '{"metadata":{"name":"x"},"rules":[{"apiGroups":[""],"resources":["pods"],"verbs":[]}]}'
cat >"$TEST_DIR/files/reconcile" <<-'Y'
	apiVersion: rbac.authorization.k8s.io/v1
	kind: Role
	metadata: {name: reader, namespace: auth-test}
	rules:
	- {apiGroups: [""], resources: [secrets], verbs: [get]}
	---
	apiVersion: rbac.authorization.k8s.io/v1
	kind: RoleBinding
	metadata: {name: reader, namespace: auth-test}
	roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: reader}
	subjects:
	- {kind: User, name: carol, apiGroup: rbac.authorization.k8s.io}
Y
check_output "auth reconcile" 'reader reconciled.*reader reconciled' k auth reconcile -f "$TEST_DIR/files/reconcile"
check_output "adds, and takes nothing away" 'alice.*carol' k get rolebinding reader -o wide
check_output "can-i" '^yes$' user alice auth can-i get secrets
check_output "can-i for a subresource" '^yes$' user alice auth can-i get pods --subresource=log
check_refused "can-i not" 'no$' user alice auth can-i delete pods
check_output "can-i for a path" '^yes$' user alice auth can-i get /metrics
check_output "can-i --list" 'pods/log +\[\] +\[\] +\[get list watch\]' user alice auth can-i --list
check_output "the admin asks about others" '^yes$' k auth can-i list pods --as alice
check_refused "who may not all" 'no$' k auth can-i list nodes --as alice

# --- nobody grants what he does not have ---
k create clusterrolebinding granter --clusterrole=admin --user=dora >/dev/null
eventually 20 matches 'rolebindings' k get clusterrole admin -o yaml >/dev/null
check "what is held may be granted" user dora create role held --verb=get --resource=configmaps
check_refused "more may not" 'roles.rbac.authorization.k8s.io "more" is forbidden: user "dora" \(groups=\["devs" "system:authenticated"\]\) is attempting to grant RBAC permissions not currently held:
\{APIGroups:\[""\], Resources:\["nodes"\], Verbs:\["get" "delete"\]\}' user dora create role more --verb=get,delete --resource=nodes
check_refused "nor be bound" 'rolebindings.rbac.authorization.k8s.io "more" is forbidden: user "dora" .* is attempting to grant RBAC permissions not currently held:' \
	user dora create rolebinding more --clusterrole=cluster-admin --user=dora
check_refused "nor a role that is not there" 'clusterroles.rbac.authorization.k8s.io "none" not found' \
	user dora create rolebinding more --clusterrole=none --user=dora
k create clusterrole binder --verb=bind --resource=clusterroles.rbac.authorization.k8s.io --resource-name=cluster-admin >/dev/null
k create clusterrolebinding binder --clusterrole=binder --user=dora >/dev/null
check "unless he may bind it" user dora create rolebinding more --clusterrole=cluster-admin --user=erin
check_output "which then holds here" '^yes$' user erin auth can-i delete secrets
check_refused "and not elsewhere" 'no$' user erin auth can-i delete secrets -n default
k create clusterrole labeller --verb=get,update,patch --resource=clusterroles.rbac.authorization.k8s.io >/dev/null
k create clusterrolebinding labeller --clusterrole=labeller --user=dora >/dev/null
check_refused "a role not held may not be labelled into one that is" \
	'clusterroles.rbac.authorization.k8s.io "cluster-admin" is forbidden: user "dora" .* is attempting to grant RBAC permissions not currently held:' \
	user dora label clusterrole cluster-admin rbac.authorization.k8s.io/aggregate-to-edit=true
check "finalizers are no grant" user dora patch clusterrole cluster-admin --type merge -p '{"metadata":{"finalizers":["example.org/f"]}}'
check "nor is taking them away" user dora patch clusterrole cluster-admin --type merge -p '{"metadata":{"finalizers":null}}'
check "a role that is held may be labelled" user dora label clusterrole labeller who=dora
k create clusterrole escalator --verb=escalate --resource=roles.rbac.authorization.k8s.io >/dev/null
k create clusterrolebinding escalator --clusterrole=escalator --user=dora >/dev/null
check "or may escalate" user dora create role more --verb=get --resource=nodes

# --- impersonation ---
check_output "as somebody" 'frank.*\[g1 system:authenticated\]' k --as frank --as-group g1 auth whoami
check_output "as a service account" 'system:serviceaccount:auth-test:default.*\[system:serviceaccounts system:serviceaccounts:auth-test system:authenticated\]' \
	k --as system:serviceaccount:auth-test:default auth whoami
check_refused "as anonymous" 'User "system:anonymous" cannot list' k --as system:anonymous get pods
check_refused "not everybody may" 'users "frank" is forbidden: User "alice" cannot impersonate resource "users" in API group "" at the cluster scope' \
	user alice --as frank get pods
k create clusterrole as-frank --verb=impersonate --resource=users --resource-name=frank >/dev/null
k create clusterrolebinding as-frank --clusterrole=as-frank --user=alice >/dev/null
check_output "one who may" 'frank' user alice --as frank auth whoami
check_refused "may not more" 'groups "system:masters" is forbidden: User "alice" cannot impersonate resource "groups"' \
	user alice --as frank --as-group system:masters get pods
check_output "groups without a user" 'without impersonating a user' open /api -H 'Authorization: Bearer static-root' -H 'Impersonate-Group: g'

# --- service account tokens ---
k create serviceaccount robot >/dev/null
k create rolebinding robot --clusterrole=view --serviceaccount=auth-test:robot >/dev/null
TOKEN=$(k create token robot --duration=10m)
check_output "whose a token is" 'system:serviceaccount:auth-test:robot.*\[system:serviceaccounts system:serviceaccounts:auth-test system:authenticated\]' \
	as "$TOKEN" auth whoami
check_output "what it may" 'No resources' as "$TOKEN" get pods
check_refused "and not" 'User "system:serviceaccount:auth-test:robot" cannot list resource "secrets"' as "$TOKEN" get secrets
check_refused "too short" 'spec.expirationSeconds: Invalid value: 60: may not specify a duration less than 10 minutes' \
	k create token robot --duration=1m
check_refused "of nobody" 'serviceaccounts "nobody" not found' k create token nobody
check_output "for another audience" 'error: You must be logged in|Unauthorized' sh -c "
	HOME=$TEST_DIR $KUBECTL --kubeconfig /dev/null --server $URL --certificate-authority $SERVER_DIR/pki/ca.crt \
		--token $(k create token robot --audience vault) get pods 2>&1 || true"
review() {
	k create --validate=false -o yaml -f - <<-J
		{"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview",
		 "spec": {"token": "$1", "audiences": [${2:+\"$2\"}]}}
	J
}
check_output "TokenReview" 'audiences:.*- https://kubernetes.default.svc.cluster.local.*authenticated: true.*username: system:serviceaccount:auth-test:robot' \
	review "$TOKEN"
check_output "TokenReview of another audience" 'audiences:.*- vault.*authenticated: true' \
	review "$(k create token robot --audience vault)" vault
check_output "TokenReview of nonsense" 'error: .\[invalid bearer token' review "${TOKEN%?????}"
check_output "keys" '"kty":"EC","kid":"[A-Za-z0-9_-]{43}","crv":"P-256","alg":"ES256"' open /openid/v1/jwks -H "Authorization: Bearer $TOKEN"
check_output "configuration" '"issuer":"https://kubernetes.default.svc.cluster.local","jwks_uri":"https://' \
	open /.well-known/openid-configuration -H "Authorization: Bearer $TOKEN"
check_output "by a WebSocket's protocol" '^404$' code /api/v1/namespaces/auth-test/pods/none/log --http1.1 -H 'Connection: Upgrade' -H 'Upgrade: websocket' \
	-H "Sec-WebSocket-Protocol: v4.channel.k8s.io, base64url.bearer.authorization.k8s.io.$(printf %s "$TOKEN" | base64 -w0 | tr '+/' '-_' | tr -d =)"
check_output "a wrong one there" '^401$' code /api/v1/namespaces/auth-test/pods/none/log --http1.1 -H 'Connection: Upgrade' -H 'Upgrade: websocket' \
	-H "Sec-WebSocket-Protocol: base64url.bearer.authorization.k8s.io.bm9uc2Vuc2U"
k delete serviceaccount robot >/dev/null
check_refused "the token ends with its account" 'Unauthorized' as "$TOKEN" get pods
k create serviceaccount robot >/dev/null
check_refused "and is not the next one's" 'Unauthorized' as "$TOKEN" get pods

# --- token secrets ---
secret() {
	k apply -f - <<-Y
		apiVersion: v1
		kind: Secret
		metadata: {name: old-token, annotations: {kubernetes.io/service-account.name: robot}}
		type: kubernetes.io/service-account-token
	Y
}
check "a secret for a token" secret
check_output "is filled" '^ZXlK' k_field secret/old-token .data.token
OLD=$(k_field secret/old-token .data.token | base64 -d)
check_output "with a token" 'system:serviceaccount:auth-test:robot' as "$OLD" auth whoami
check_output "and what goes with it" '^auth-test BEGIN CERTIFICATE$' sh -c "
	echo \$(echo '$(k_field secret/old-token .data.namespace)' | base64 -d) \$(echo '$(k_field secret/old-token '.data.ca\.crt')' | base64 -d | grep -o 'BEGIN CERTIFICATE')"
k delete secret old-token >/dev/null
check_refused "the token ends with its secret" 'Unauthorized' as "$OLD" get pods
check "a secret for a token again" secret
k delete serviceaccount robot >/dev/null
check "goes with its account" eventually 20 gone secret/old-token

# --- bootstrap tokens ---
bootstrap() {
	k -n kube-system apply -f - <<-Y
		apiVersion: v1
		kind: Secret
		metadata: {name: bootstrap-token-abcdef, namespace: kube-system}
		type: bootstrap.kubernetes.io/token
		stringData:
		  token-id: abcdef
		  token-secret: 0123456789abcdef
		  usage-bootstrap-authentication: "$1"
		  auth-extra-groups: system:bootstrappers:nodes
		  expiration: "$2"
	Y
}
bootstrap true 2090-01-01T00:00:00Z >/dev/null 2>&1
check_output "a bootstrap token" 'system:bootstrap:abcdef.*\[system:bootstrappers system:bootstrappers:nodes system:authenticated\]' \
	as abcdef.0123456789abcdef auth whoami
check_refused "a wrong one" 'Unauthorized' as abcdef.0123456789abcdee get pods
bootstrap false 2090-01-01T00:00:00Z >/dev/null 2>&1
check_refused "not for this" 'Unauthorized' as abcdef.0123456789abcdef get pods
bootstrap true 2020-01-01T00:00:00Z >/dev/null 2>&1
check_refused "an expired one" 'Unauthorized' as abcdef.0123456789abcdef get pods

# --- what is said and what is done ---
k create serviceaccount viewer >/dev/null
k create clusterrolebinding viewer --clusterrole=view --serviceaccount=auth-test:viewer >/dev/null
k create serviceaccount editor >/dev/null
k create rolebinding editor --clusterrole=edit --serviceaccount=auth-test:editor >/dev/null
check_output "can-i and the requests themselves agree" ' 0 differ$' "$(dirname "$0")/auth_matrix.py" "$URL" "$SERVER_DIR/pki/ca.crt" \
	static-bob static-root "$(k create token viewer)" "$(k create token editor)"

# --- what may not be got around ---
check_output "a watch of one object needs more than get" '^403$' sh -c "
	curl -sS --max-time 60 --cacert $SERVER_DIR/pki/ca.crt -o /dev/null -w '%{http_code}' -H 'Authorization: Bearer static-bob' $URL/api/v1/watch/namespaces/auth-test/pods/x"
check_output "the old watch paths only watch" '^405$' raw /api/v1/watch/namespaces/auth-test/configmaps -X POST -d '{}' -o /dev/null -w '%{http_code}'
k create clusterrole updater --verb=update,patch,get --resource=leases.coordination.k8s.io,configmaps >/dev/null
k create clusterrolebinding updater --clusterrole=updater --user=grace >/dev/null
lease='{"apiVersion":"coordination.k8s.io/v1","kind":"Lease","metadata":{"name":"l"}}'
check_refused "an update that would create is a creation" 'leases.coordination.k8s.io "l" is forbidden: User "grace" cannot create resource "leases"' \
	user grace replace --raw /apis/coordination.k8s.io/v1/namespaces/auth-test/leases/l -f <(echo "$lease")
check_refused "so is an apply" 'configmaps "c" is forbidden: User "grace" cannot create resource "configmaps"' \
	user grace apply --server-side --validate=false -f <(echo '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"c"}}')
k run bound --image=x >/dev/null
BOUND=$(k create token default --bound-object-kind Pod --bound-object-name bound)
check_output "a token of a pod" 'pod-name +\[bound\]' as "$BOUND" auth whoami
k delete pod bound --now >/dev/null 2>&1
check_refused "ends with it" 'Unauthorized' as "$BOUND" auth whoami
check_refused "not for pods of others" 'cannot bind token for serviceaccount "other" to pod running with different serviceaccount name' sh -c "
	$KUBECTL --kubeconfig $KUBECONFIG_FILE -n auth-test create serviceaccount other >/dev/null
	$KUBECTL --kubeconfig $KUBECONFIG_FILE -n auth-test run bound --image=x >/dev/null
	$KUBECTL --kubeconfig $KUBECONFIG_FILE -n auth-test create token other --bound-object-kind Pod --bound-object-name bound"
check_output "cluster-wide kinds are not in namespaces" '^404$' raw /apis/rbac.authorization.k8s.io/v1/namespaces/auth-test/clusterroles/admin -o /dev/null -w '%{http_code}'
check_output "still well" 'ok' raw /livez
finish
