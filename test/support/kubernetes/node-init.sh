#!/bin/sh
# The first process of a node's own namespaces, started by servers/KubernetesNode.ts with NODE (its folder), KUBE (the
# programs of Kubernetes), NODE_IP and IMAGES (archives to import). What ends it ends the node and all of its containers.
set -eu
# what is written to /var and /run, such as logs, sockets and the state of plugins, goes to NODE or nowhere
mkdir -p "$NODE/var" "$NODE/var.work"
mount -t overlay -o "lowerdir=/var,upperdir=$NODE/var,workdir=$NODE/var.work" overlay /var
mount -t tmpfs tmpfs /run
# Settings of the whole machine that the kubelet and the bridge plugin insist on. Nothing here depends on them: they
# find them set without the machine being changed.
setting() {
  file="$NODE/${1##*/}"
  echo "$2" > "$file"
  mount --bind "$file" "/proc/sys/$1"
}
setting vm/overcommit_memory 1
setting kernel/panic 10
setting kernel/panic_on_oops 1
setting net/ipv4/ip_forward 1

containerd --config "$NODE/containerd.toml" > "$NODE/containerd.log" 2>&1 &
until ctr --address "$NODE/containerd.sock" version > /dev/null 2>&1; do sleep 0.1; done
for archive in "$IMAGES"/*.tar; do
  ctr --address "$NODE/containerd.sock" --namespace k8s.io images import "$archive"
done
"$KUBE" kube-scheduler --kubeconfig="$NODE/scheduler.conf" --leader-elect=false --secure-port=0 \
  > "$NODE/kube-scheduler.log" 2>&1 &
"$KUBE" kubelet --config="$NODE/kubelet.yaml" --kubeconfig="$NODE/kubelet.conf" --hostname-override=node \
  --node-ip="$NODE_IP" --root-dir="$NODE/kubelet" --cert-dir="$NODE/pki" > "$NODE/kubelet.log" 2>&1 &
# as the first process it reaps the containers' shims too
wait
