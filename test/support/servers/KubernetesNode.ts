/**
 * A real node for a control plane of our own: kubelet, scheduler, containerd and a network for pods, in namespaces of
 * their own, so that ending their first process ends all of it. Needs root on Linux with containerd and runc.
 *
 * There is no kube-proxy and no cluster DNS: services of the machine are given an address that pods reach, and the API
 * server its own, `10.0.0.1`.
 */
import { cp, mkdir, readdir, readFile, symlink, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { Effect } from "effect"
import { spawn } from "./Child.ts"
import { folderOf, run } from "./command.ts"
import { eventually } from "./eventually.ts"
import { type KubernetesAddress, kubectl } from "./Kubernetes.ts"
import { writeKubeconfig } from "./KubernetesCertificates.ts"
import { find as findPrograms } from "./KubernetesPrograms.ts"
import { ServerError } from "./ServerError.ts"
import { canInstall, install } from "./Source.ts"
import * as TcpProxy from "./TcpProxy.ts"
import { temporaryFolder } from "./temporaryFolder.ts"

const init = fileURLToPath(new URL("../kubernetes/node-init.sh", import.meta.url))
const env = process.env

/** Where pods reach the API server, and what else of this machine they are to reach. */
export const servicesHost = "10.0.0.1"
const servicesLink = "paystream-svc"
const bridge = "paystream-pods"

const promised = <A>(evaluate: () => Promise<A>): Effect.Effect<A, ServerError> =>
  Effect.tryPromise({
    try: evaluate,
    catch: (cause) => new ServerError({ message: "cannot write the files of a node", cause })
  })

const programs = { containerd: "containerd", runc: "runc", ip: "iproute2", unshare: "util-linux" } as const

/** What is missing for a node, as a list; installs what it may. */
export const missing: Effect.Effect<ReadonlyArray<string>> = Effect.gen(function* () {
  if (process.getuid?.() !== 0) return ["root, since a node makes cgroups, mounts and network links"]
  const lacking: Array<string> = []
  for (const [program, debianPackage] of Object.entries(programs)) {
    if (folderOf(program, []) === undefined && canInstall()) yield* install(debianPackage)
    if (folderOf(program, []) === undefined) lacking.push(`${program} on the PATH (Debian: ${debianPackage})`)
  }
  if (!canInstall()) lacking.push("Debian's apt-get, for the packages containernetworking-plugins and busybox-static")
  if (yield* hasNode) lacking.push("a machine without a node of its own: there are cgroups called kubepods")
  return lacking
})

const kubepods = ["-maxdepth", "3", "-type", "d", "-name", "kubepods*"]

const hasNode = run("find", ["/sys/fs/cgroup", ...kubepods], { env }).pipe(
  Effect.map((found) => found !== ""),
  Effect.orElseSucceed(() => false)
)

export interface NodeOptions {
  readonly plane: KubernetesAddress
  /** A folder with images, as `docker save` writes them. */
  readonly images: string
}

/** Starts it at the address that `reachable` has made, and returns when pods can run on it; it goes with the scope. */
export const start = ({ images, plane }: NodeOptions) =>
  Effect.gen(function* () {
    const [kube] = (yield* findPrograms("node"))("kubelet")
    const folder = yield* temporaryFolder("node")
    yield* Effect.addFinalizer(() => Effect.ignore(run("sh", ["-c", removeTraces], { env })))
    const network = yield* unpack(folder)
    yield* pauseImage(folder, images)
    yield* configure(folder, plane, network)
    const unshare = ["--pid", "--fork", "--kill-child", "--mount", "--mount-proc", "--propagation", "private", init]
    const node = { ...env, NODE: folder, KUBE: kube, IMAGES: images, NODE_IP: servicesHost }
    yield* spawn("unshare", unshare, { cwd: folder, env: node })
    const ready = kubectl(plane, "wait", "--for=condition=Ready", "node/node", "--timeout=10s")
    yield* eventually(ready, { deadline: "90 seconds", every: "500 millis" }).pipe(
      Effect.catch((error) => Effect.flatMap(logsIn(folder), (logs) => failed(`${error.message}\n${logs}`)))
    )
    return { logs: logsIn(folder) }
  })

const failed = (message: string) => Effect.fail(new ServerError({ message: `the node did not get ready: ${message}` }))

/** What outlives a node's processes on the machine, which take a moment to go. */
const removeTraces = `
for link in $(ip -o link show master ${bridge} | cut -d: -f2 | cut -d@ -f1); do ip link delete "$link"; done
ip link delete ${bridge}
for _ in $(seq 100); do
  find /sys/fs/cgroup -depth -type d -path '*/kubepods*' -exec rmdir {} + 2>/dev/null && break
  sleep 0.1
done
`

/** The end of what each of its programs has written. */
const logsIn = (folder: string) =>
  run("sh", ["-c", "tail -n 15 *.log"], { cwd: folder, env }).pipe(Effect.orElseSucceed(() => "no logs"))

/** Debian's plugins for pods' networks, and a shell in one file; the folder of the plugins. */
const unpack = (folder: string) =>
  Effect.gen(function* () {
    const debs = join(folder, "debs")
    yield* promised(() => mkdir(debs))
    const download = ["-o", "APT::Sandbox::User=root", "download", "--quiet=2"]
    yield* run("apt-get", [...download, "containernetworking-plugins", "busybox-static"], { cwd: debs, env })
    for (const deb of yield* promised(() => readdir(debs))) {
      yield* run("dpkg-deb", ["--extract", join(debs, deb), join(folder, "deb")], { env })
    }
    return join(folder, "deb/usr/lib/cni")
  })

/** What holds a pod's namespaces: one layer, made by hand. */
const pauseImage = (folder: string, images: string) =>
  Effect.gen(function* () {
    const work = join(folder, "pause")
    yield* promised(async () => {
      await mkdir(join(work, "files/bin"), { recursive: true })
      await cp(join(folder, "deb/bin/busybox"), join(work, "files/bin/busybox"))
      for (const name of ["sh", "sleep"]) await symlink("busybox", join(work, "files/bin", name))
    })
    yield* run("tar", ["-C", "files", "-cf", "layer.tar", "."], { cwd: work, env })
    const [digest] = (yield* run("sha256sum", ["layer.tar"], { cwd: work, env })).split(" ")
    const config = {
      architecture: process.arch === "arm64" ? "arm64" : "amd64",
      os: "linux",
      config: { Entrypoint: ["/bin/sh", "-c", "trap 'exit 0' TERM; while :; do sleep 3600 & wait $!; done"] },
      rootfs: { type: "layers", diff_ids: [`sha256:${digest}`] }
    }
    const manifest = [{ Config: "config.json", RepoTags: ["localhost/pause:1"], Layers: ["layer.tar"] }]
    yield* promised(async () => {
      await writeFile(join(work, "config.json"), JSON.stringify(config))
      await writeFile(join(work, "manifest.json"), JSON.stringify(manifest))
    })
    const parts = ["manifest.json", "config.json", "layer.tar"]
    yield* run("tar", ["-cf", join(images, "pause.tar"), ...parts], { cwd: work, env })
  })

const configure = (folder: string, plane: KubernetesAddress, plugins: string) =>
  Effect.gen(function* () {
    const users = { "kubelet.conf": ["system:node:node", "system:nodes"], "scheduler.conf": ["system:kube-scheduler"] }
    for (const [file, [name = "", ...groups]] of Object.entries(users)) {
      const path = yield* writeKubeconfig({ folder: plane.folder, port: plane.port, name, groups })
      yield* promised(async () => writeFile(join(folder, file), await readFile(path)))
    }
    yield* promised(async () => {
      await mkdir(join(folder, "net.d"))
      await writeFile(join(folder, "net.d/10-pods.conflist"), JSON.stringify(networkOf(folder)))
      await writeFile(join(folder, "containerd.toml"), containerdOf(folder, plugins))
      await writeFile(join(folder, "kubelet.yaml"), JSON.stringify(kubeletOf(folder, plane)))
    })
  })

const containerdOf = (folder: string, plugins: string): string => `version = 2
root = "${folder}/containerd"
state = "${folder}/state"
[grpc]
  address = "${folder}/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "localhost/pause:1"
  netns_mounts_under_state_dir = true
  disable_apparmor = true
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "${plugins}"
    conf_dir = "${folder}/net.d"
`

const networkOf = (folder: string) => ({
  cniVersion: "0.4.0",
  name: "pods",
  plugins: [
    {
      type: "bridge",
      bridge,
      isGateway: true,
      hairpinMode: true,
      ipam: {
        type: "host-local",
        dataDir: join(folder, "addresses"),
        ranges: [[{ subnet: "10.244.0.0/24" }]],
        routes: [{ dst: "0.0.0.0/0" }]
      }
    }
  ]
})

const kubeletOf = (folder: string, { folder: authority }: KubernetesAddress) => ({
  apiVersion: "kubelet.config.k8s.io/v1beta1",
  kind: "KubeletConfiguration",
  containerRuntimeEndpoint: `unix://${folder}/containerd.sock`,
  cgroupDriver: "cgroupfs",
  failCgroupV1: false,
  failSwapOn: false,
  authentication: {
    anonymous: { enabled: false },
    webhook: { enabled: false },
    x509: { clientCAFile: join(authority, "ca.crt") }
  },
  authorization: { mode: "AlwaysAllow" },
  address: servicesHost,
  readOnlyPort: 0,
  healthzPort: 0,
  makeIPTablesUtilChains: false,
  enforceNodeAllocatable: [],
  imageGCHighThresholdPercent: 100,
  evictionHard: {
    "memory.available": "0%",
    "nodefs.available": "0%",
    "nodefs.inodesFree": "0%",
    "imagefs.available": "0%"
  }
})

/** Gives pods a way to ports of this machine: from `10.0.0.1` and the first number to the second. */
export const reachable = (ports: ReadonlyArray<readonly [at: number, to: number]>) =>
  Effect.gen(function* () {
    const ip = (...args: ReadonlyArray<string>) => run("ip", args, { env })
    yield* Effect.acquireRelease(ip("link", "add", servicesLink, "type", "bridge"), () =>
      Effect.ignore(ip("link", "delete", servicesLink))
    )
    yield* ip("address", "add", `${servicesHost}/32`, "dev", servicesLink)
    yield* ip("link", "set", servicesLink, "up")
    for (const [at, to] of ports) {
      yield* TcpProxy.start({ host: "127.0.0.1", port: to }, { host: servicesHost, port: at })
    }
  })
