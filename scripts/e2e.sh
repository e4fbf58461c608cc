#!/usr/bin/env bash
# From a cluster to a verdict, in eleven steps: messages in a queue, a PaymentJob, and rows in a table.
#   scripts/e2e.sh [--cleanup]
# On a kind cluster of its own (needs docker, kind, kubectl), or with E2E_CLUSTER=existing on the current context of
# kubectl, with the servers of E2E_RABBITMQ_URL and E2E_DATABASE_URL, which pods and this machine reach by the same
# address. Ends with PASS and 0, with FAIL and 1, or with 2 when it cannot begin.
set -euo pipefail
cd "$(dirname "$0")/.."

CLUSTER_NAME=${CLUSTER_NAME:-payments-e2e}
MESSAGE_COUNT=${MESSAGE_COUNT:-10}
TIMEOUT=${TIMEOUT:-120s}
CLEANUP=${CLEANUP:-false}
E2E_CLUSTER=${E2E_CLUSTER:-kind}
E2E_WORKER_IMAGE=${E2E_WORKER_IMAGE:-payments-worker:latest}

system=paymentjob-system
operator=manifests/operator-deploy.yaml
crd=manifests/crd-paymentjob.yaml
run=e2e-$(date +%s)-$$
queue=$run
# a cluster of somebody else's may have one of another run
namespace=$run
if [ "$E2E_CLUSTER" = kind ]; then namespace=payments-e2e; fi
steps=11
number=0
is_told=false

wrong() { echo "$0: $*" >&2; exit 2; }

step() {
  number=$((number + 1))
  echo "[$number/$steps] $*"
}

skip() { echo "        skipped: $*"; }

main() {
  check_usage "$@"
  folder=$(mktemp -d)
  trap 'finish $?' EXIT
  create_cluster
  build_images
  load_images
  apply_crd
  deploy_servers
  deploy_operator
  forward_ports
  publish_messages
  apply_payment_job
  wait_until_complete
  check_rows
}

check_usage() {
  case ${1:-} in
    '') ;;
    --cleanup) CLEANUP=true ;;
    *) wrong "unknown argument $1; usage: $0 [--cleanup]" ;;
  esac
  [[ $MESSAGE_COUNT =~ ^[1-9][0-9]*$ ]] || wrong "MESSAGE_COUNT=$MESSAGE_COUNT is no whole number from 1"
  [[ $TIMEOUT =~ ^[1-9][0-9]*[smh]$ ]] || wrong "TIMEOUT=$TIMEOUT is no time such as 120s"
  local needed=(kubectl node)
  case $E2E_CLUSTER in
    kind) needed+=(docker kind) ;;
    existing)
      [ -n "${E2E_RABBITMQ_URL:-}" ] || wrong "E2E_CLUSTER=existing needs E2E_RABBITMQ_URL"
      [ -n "${E2E_DATABASE_URL:-}" ] || wrong "E2E_CLUSTER=existing needs E2E_DATABASE_URL"
      # a PaymentJob has no field for it: pods would connect without
      [[ $E2E_RABBITMQ_URL != amqps:* ]] || wrong "E2E_RABBITMQ_URL: amqps:// cannot be said in a PaymentJob; use amqp://"
      [[ $E2E_DATABASE_URL != *sslmode=* ]] || wrong "E2E_DATABASE_URL: sslmode cannot be said in a PaymentJob; leave it out"
      ;;
    *) wrong "E2E_CLUSTER=$E2E_CLUSTER is neither kind nor existing" ;;
  esac
  local program
  for program in "${needed[@]}"; do
    command -v "$program" > /dev/null || wrong "needs $program on the PATH"
  done
}

is_kind() { [ "$E2E_CLUSTER" = kind ]; }

create_cluster() {
  step "create the cluster $CLUSTER_NAME"
  if ! is_kind; then
    skip "E2E_CLUSTER=existing: the context $(kubectl config current-context)"
  else
    if kind get clusters 2> /dev/null | grep -qx "$CLUSTER_NAME"; then
      skip "it is there"
    else
      kind create cluster --name "$CLUSTER_NAME" --wait 120s
      # from here on it is ours to delete
      had_cluster=false
    fi
    # whatever context somebody else chooses meanwhile
    kind get kubeconfig --name "$CLUSTER_NAME" > "$folder/kubeconfig"
    export KUBECONFIG=$folder/kubeconfig
  fi
}

build_images() {
  step "build the images"
  if is_kind; then scripts/build_and_load_kind_images.sh --build; else skip "E2E_CLUSTER=existing has them"; fi
}

load_images() {
  step "load the images"
  if is_kind; then
    scripts/build_and_load_kind_images.sh --load "$CLUSTER_NAME"
  else
    skip "E2E_CLUSTER=existing has them"
  fi
}

apply_crd() {
  step "apply the CustomResourceDefinition"
  had_crd=$(is_there crd/paymentjobs.payments.example.com)
  kubectl apply --server-side -f "$crd"
  kubectl wait --for=condition=Established crd/paymentjobs.payments.example.com --timeout=30s
}

is_there() { if kubectl get "$@" > /dev/null 2>&1; then echo true; else echo false; fi; }

deploy_servers() {
  step "deploy RabbitMQ and PostgreSQL"
  had_namespace=$(is_there "namespace/$namespace")
  had_servers=$(is_there --namespace "$namespace" deployment/rabbitmq)
  kubectl create namespace "$namespace" --dry-run=client -o yaml | kubectl apply -f -
  if is_kind; then
    kubectl apply --namespace "$namespace" -f manifests/e2e-servers.yaml
    kubectl rollout status --namespace "$namespace" deployment/rabbitmq --timeout=180s
    kubectl rollout status --namespace "$namespace" deployment/postgres --timeout=180s
  else
    skip "E2E_RABBITMQ_URL and E2E_DATABASE_URL"
  fi
}

deploy_operator() {
  step "deploy the operator"
  had_system=$(is_there "namespace/$system")
  had_operator=$(is_there --namespace "$system" deployment/paymentjob-operator)
  kubectl apply -f "$operator"
  # the image of that name may be a newer one than the pods run
  if is_kind && [ "$had_operator" = true ]; then
    kubectl rollout restart --namespace "$system" deployment/paymentjob-operator
  fi
  kubectl rollout status --namespace "$system" deployment/paymentjob-operator --timeout="$TIMEOUT"
}

forward_ports() {
  step "forward ports to the servers"
  if is_kind; then
    local rabbitmq postgres
    rabbitmq=$(forward rabbitmq 5672)
    postgres=$(forward postgres 5432)
    # as this machine reaches them, and as pods do
    publish_url=amqp://guest:guest@127.0.0.1:$rabbitmq
    check_url=postgres://postgres:postgres@127.0.0.1:$postgres/payments_db
    pods_rabbitmq=amqp://guest:guest@rabbitmq:5672
    pods_postgres=postgres://postgres:postgres@postgres:5432/payments_db
  else
    skip "E2E_RABBITMQ_URL and E2E_DATABASE_URL are reached as they are"
    publish_url=$E2E_RABBITMQ_URL pods_rabbitmq=$E2E_RABBITMQ_URL
    check_url=$E2E_DATABASE_URL pods_postgres=$E2E_DATABASE_URL
  fi
}

# The local port that leads to a service.
forward() {
  local said=$folder/forward-$1
  kubectl port-forward --namespace "$namespace" "service/$1" ":$2" > "$said" 2>&1 &
  echo $! >> "$folder/forwards"
  local port
  for _ in $(seq 100); do
    port=$(sed -n 's/^Forwarding from 127.0.0.1:\([0-9]*\).*/\1/p' "$said" | head -n 1)
    if [ -n "$port" ]; then echo "$port"; return; fi
    sleep 0.1
  done
  cat "$said" >&2
  return 1
}

publish_messages() {
  step "publish $MESSAGE_COUNT messages to $queue"
  RABBITMQ_URL=$publish_url BROKER=rabbitmq node scripts/run.mjs bun --no-env-file src/main.ts --mode=publish \
    --count="$MESSAGE_COUNT" --queue="$queue"
}

# A part of an address, decoded: username, password, hostname, port or path. By the environment: arguments are there for
# everybody to see.
part() {
  ADDRESS=$1 node -e 'const url = new URL(process.env.ADDRESS)
    const parts = { username: url.username, password: url.password, hostname: url.hostname, port: url.port, path: url.pathname.slice(1) }
    process.stdout.write(decodeURIComponent(parts[process.argv[1]]))' "$2"
}

secret() { # name address
  part "$2" username > "$folder/username"
  part "$2" password > "$folder/password"
  kubectl create secret generic "$1" --namespace "$namespace" --dry-run=client -o yaml \
    --from-file="$folder/username" --from-file="$folder/password" | kubectl apply -f -
  rm "$folder/username" "$folder/password"
}

apply_payment_job() {
  step "apply the PaymentJob $run"
  secret "$run-rabbitmq" "$pods_rabbitmq"
  secret "$run-postgres" "$pods_postgres"
  local rabbitmq_port postgres_port
  rabbitmq_port=$(part "$pods_rabbitmq" port)
  postgres_port=$(part "$pods_postgres" port)
  kubectl apply --namespace "$namespace" -f - << END
apiVersion: payments.example.com/v1alpha1
kind: PaymentJob
metadata: {name: $run}
spec:
  queueName: $queue
  maxMessages: $MESSAGE_COUNT
  image: $E2E_WORKER_IMAGE
  rabbitmq:
    host: $(part "$pods_rabbitmq" hostname)
    port: ${rabbitmq_port:-5672}
    secretRef: {name: $run-rabbitmq}
  postgres:
    host: $(part "$pods_postgres" hostname)
    port: ${postgres_port:-5432}
    database: $(part "$pods_postgres" path)
    secretRef: {name: $run-postgres}
END
}

wait_until_complete() {
  step "wait until it is Complete, $TIMEOUT at most"
  # one that has failed will not be complete: whichever comes first
  kubectl wait --namespace "$namespace" --for=condition=Complete "paymentjob/$run" --timeout="$TIMEOUT" &
  local complete=$!
  kubectl wait --namespace "$namespace" --for=condition=Failed "paymentjob/$run" --timeout="$TIMEOUT" > /dev/null 2>&1 &
  local failed=$!
  wait -n "$complete" "$failed" || true
  kill "$complete" "$failed" 2> /dev/null || true
  wait "$complete" "$failed" 2> /dev/null || true
  kubectl get --namespace "$namespace" paymentjob "$run" -o wide
}

status() { kubectl get --namespace "$namespace" paymentjob "$run" -o "jsonpath={.status.$1}"; }

check_rows() {
  step "check the rows in the table payments"
  local phase stored rows
  phase=$(status phase)
  if [ "$phase" != Succeeded ]; then
    tell_why
    fail "the PaymentJob is $phase: $(status message)"
  fi
  stored=$(status result.stored)
  rows=$(DATABASE_URL=$check_url node scripts/run.mjs node scripts/count-payments.ts "$queue")
  echo "        rows, and different messages: $rows; the status says stored: $stored"
  [ "$rows" = "$MESSAGE_COUNT $MESSAGE_COUNT" ] || fail "rows, and different messages: $rows instead of $MESSAGE_COUNT"
  [ "$stored" = "$MESSAGE_COUNT" ] || fail "the status says stored: $stored instead of $MESSAGE_COUNT"
  echo PASS
}

tell_why() {
  kubectl get --namespace "$namespace" job,pod --selector "paymentjob=$run" || true
  kubectl get events --namespace "$namespace" --field-selector "involvedObject.name=$run" || true
  kubectl logs --namespace "$namespace" --selector "paymentjob=$run" --tail=20 || true
}

fail() {
  echo "FAIL: $*"
  is_told=true
  exit 1
}

finish() {
  local code=$1
  if [ -e "$folder/forwards" ]; then xargs kill < "$folder/forwards" 2> /dev/null || true; fi
  if [ "$CLEANUP" = true ]; then clean_up; else tell_how_to_look; fi
  rm -rf "$folder"
  if [ "$code" -ne 0 ]; then
    if [ "$is_told" = false ]; then echo "FAIL: step $number ended with $code"; fi
    exit 1
  fi
}

# What was there before stays; so does what nobody came to make.
clean_up() {
  echo "cleaning up"
  if [ "${had_cluster:-true}" = false ]; then kind delete cluster --name "$CLUSTER_NAME"; return; fi
  case ${had_namespace:-unknown} in
    false) remove namespace "$namespace" ;;
    true) remove_own ;;
  esac
  if [ "${had_system:-true}" = false ]; then remove -f "$operator"; fi
  if [ "${had_crd:-true}" = false ]; then remove -f "$crd"; fi
}

# In a namespace that others may use.
remove_own() {
  remove --namespace "$namespace" "paymentjob/$run" "secret/$run-rabbitmq" "secret/$run-postgres"
  if is_kind && [ "$had_servers" = false ]; then remove --namespace "$namespace" -f manifests/e2e-servers.yaml; fi
}

remove() { kubectl delete "$@" --ignore-not-found --wait=false || true; }

tell_how_to_look() {
  local context=
  if is_kind; then context="--context kind-$CLUSTER_NAME "; fi
  echo "left as it is: kubectl ${context}get paymentjobs --namespace $namespace; --cleanup would remove it"
}

main "$@"
