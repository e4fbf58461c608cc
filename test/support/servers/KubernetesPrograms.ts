/** Where etcd, kube-apiserver, kube-controller-manager and kubectl come from: of one version, which is pinned. */
import { createHash, randomUUID } from "node:crypto"
import { existsSync, readFileSync } from "node:fs"
import { mkdir, rename } from "node:fs/promises"
import { homedir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { Effect } from "effect"
import { folderOf, run } from "./command.ts"
import { ServerError } from "./ServerError.ts"

/** What CRDs and Jobs do differs from version to version. */
export const version = "v1.34.4"
const [major = "", minor = ""] = version.slice(1).split(".")

const names = ["etcd", "kube-apiserver", "kube-controller-manager", "kubectl"] as const
export type ProgramName = (typeof names)[number] | "kubelet" | "kube-scheduler"

/** How to call each: a program and its first arguments. */
export type Programs = (name: ProgramName) => readonly [program: string, ...args: ReadonlyArray<string>]

const moduleFolder = fileURLToPath(new URL("../kubernetes", import.meta.url))
const moduleFiles = ["go.mod", "go.sum", "main.go", "node.go"]

/** `node` adds what a node needs, kubelet and kube-scheduler. */
export type Variant = "" | "node"

/** Built once for all clones of the repository; two builds of the same module are the same to the byte. */
const builtFile = (variant: Variant): string => {
  const hash = createHash("sha256").update(variant)
  for (const name of moduleFiles) hash.update(readFileSync(join(moduleFolder, name)))
  const cache = process.env.PAYSTREAM_CACHE ?? join(homedir(), ".cache/paystream")
  return join(cache, `kubernetes-${version}-${hash.digest("hex").slice(0, 16)}`, "kubernetes")
}

const missing = new ServerError({
  message: `Kubernetes: put Go 1.26 or later on the PATH (it is built with it once, in about five minutes), or etcd, \
kube-apiserver, kube-controller-manager and kubectl of version ${major}.${minor} on the PATH or into the folder KUBEBUILDER_ASSETS`
})

/** Says what to install when there are none and none can be built; builds nothing. */
export const check: Effect.Effect<void, ServerError> = Effect.gen(function* () {
  const isThere = existsSync(builtFile("")) || (yield* givenPrograms) !== undefined || (yield* canBuild)
  if (!isThere) return yield* missing
})

/** Programs to use: given ones, or those that were built, or else they are built now. */
export const find = (variant: Variant = ""): Effect.Effect<Programs, ServerError> =>
  Effect.gen(function* () {
    const given = variant === "" ? yield* givenPrograms : undefined
    if (given !== undefined) return given
    const file = builtFile(variant)
    if (!existsSync(file)) yield* build(file, variant)
    return (name) => [file, name]
  })

/** All four of the pinned version, or none. */
const givenPrograms: Effect.Effect<Programs | undefined> = Effect.gen(function* () {
  const { KUBEBUILDER_ASSETS } = process.env
  const folders = new Map(names.map((name) => [name, folderOf(name, KUBEBUILDER_ASSETS ? [KUBEBUILDER_ASSETS] : [])]))
  if ([...folders.values()].includes(undefined)) return undefined
  const programs: Programs = (name) => [join(folders.get(name as (typeof names)[number]) ?? "", name)]
  const said = yield* run(programs("kube-apiserver")[0], ["--version"], { env: process.env }).pipe(
    Effect.orElseSucceed(() => "")
  )
  return said.includes(`v${major}.${minor}.`) ? programs : undefined
})

const canBuild: Effect.Effect<boolean> = run("go", ["env", "GOVERSION"], {
  env: { ...process.env, GOTOOLCHAIN: "local" }
}).pipe(
  Effect.map((said) => {
    const [, first = "0", second = "0"] = /^go(\d+)\.(\d+)/.exec(said.trim()) ?? []
    return Number(first) > 1 || Number(second) >= 26
  }),
  Effect.orElseSucceed(() => false)
)

const component = "k8s.io/component-base/version"
const linkerFlags = [
  "-s -w",
  `-X ${component}.gitVersion=${version}`,
  `-X ${component}.gitMajor=${major}`,
  `-X ${component}.gitMinor=${minor}`,
  `-X ${component}.gitTreeState=clean`,
  `-X k8s.io/client-go/pkg/version.gitVersion=${version}`
].join(" ")

/** Parts of a test run that go side by side build once. */
const build = (file: string, variant: Variant): Effect.Effect<void, ServerError> =>
  Effect.gen(function* () {
    if (!(yield* canBuild)) return yield* missing
    const folder = join(file, "..")
    yield* promised(() => mkdir(folder, { recursive: true }))
    const unfinished = `${file}.${randomUUID()}`
    const goBuild = [
      ...["go", "build", "-mod=readonly", "-trimpath", "-buildvcs=false", "-tags", variant],
      ...["-o", unfinished, "-ldflags", linkerFlags, "."]
    ]
    const unlessThere = ["sh", "-c", 'test -e "$0" || exec nice "$@"', file, ...goBuild]
    const env = { ...process.env, CGO_ENABLED: "0", GOTOOLCHAIN: "local", GOFLAGS: "" }
    yield* Effect.raceFirst(
      run("flock", [join(folder, "lock"), ...unlessThere], { cwd: moduleFolder, env }),
      progress(variant)
    )
    // only a whole one gets the name
    if (existsSync(unfinished)) yield* promised(() => rename(unfinished, file))
  })

const tell = (line: string) => Effect.sync(() => void process.stderr.write(`${line}\n`))

const progress = (variant: Variant): Effect.Effect<never> => {
  const what = `Kubernetes ${version}${variant === "" ? "" : ` (${variant})`}`
  return tell(`building ${what} from the Go module proxy, once: about five minutes on two cores …`).pipe(
    Effect.andThen(Effect.forever(Effect.andThen(Effect.sleep("30 seconds"), tell(`still building ${what} …`))))
  )
}

const promised = <A>(evaluate: () => Promise<A>): Effect.Effect<A, ServerError> =>
  Effect.tryPromise({
    try: evaluate,
    catch: (cause) => new ServerError({ message: "cannot keep the programs of Kubernetes", cause })
  })
