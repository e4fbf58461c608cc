/** The package as `npm pack` makes it, installed into an empty project of somebody else's. */
import { cpSync, readFileSync, symlinkSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { Context, Effect, Layer } from "effect"
import { run } from "./servers/command.ts"
import { temporaryFolder } from "./servers/temporaryFolder.ts"

const root = fileURLToPath(new URL("../..", import.meta.url))

/** What the package is made from: packed elsewhere, so that the checkout is left alone while other tests read it. */
const sources = ["src", "scripts", "package.json", "package-lock.json", "tsconfig.json", "tsconfig.build.json"]
const papers = ["README.md", "LICENSE"]

/** How a registry is reached from this machine: which one, and the proxies and certificates on the way there. */
const ofNetwork =
  /^(?:node_extra_ca_certs|ssl_cert_(?:file|dir)|(?:https?|no)_proxy|npm_config_(?:registry|cafile|https?_proxy|noproxy|globalconfig))$/i

const { HOME, LANG, PATH } = process.env
const network = Object.fromEntries(Object.entries(process.env).filter(([name]) => ofNetwork.test(name)))
const env = { ...network, HOME, LANG, PATH: `${join(root, "node_modules/.bin")}:${PATH}` }

export interface PackedFile {
  readonly path: string
  readonly size: number
}

export class InstalledPackage extends Context.Service<
  InstalledPackage,
  {
    /** The project that depends on the package. */
    readonly folder: string
    readonly files: ReadonlyArray<PackedFile>
    /** Whether package.json was as before when the package was made. */
    readonly isRestored: boolean
    /** Adds files to the project, or changes them. */
    readonly write: (files: Readonly<Record<string, string>>) => Effect.Effect<void>
    /** Writes files, and gives what the compiler says of the whole project; empty if nothing. */
    readonly compile: (files: Readonly<Record<string, string>>) => Effect.Effect<string>
  }
>()("test/InstalledPackage") {}

const pack = Effect.gen(function* () {
  const checkout = yield* temporaryFolder("checkout")
  for (const path of [...sources, ...papers]) cpSync(join(root, path), join(checkout, path), { recursive: true })
  symlinkSync(join(root, "node_modules"), join(checkout, "node_modules"))
  const before = readFileSync(join(checkout, "package.json"), "utf8")
  const said = yield* run("npm", ["pack", "--json", "--loglevel=error"], { cwd: checkout, env })
  const [packed] = Object.values(JSON.parse(said.slice(said.search(/^[[{]/m)))) as ReadonlyArray<{
    readonly filename: string
    readonly files: ReadonlyArray<PackedFile>
  }>
  const isRestored = readFileSync(join(checkout, "package.json"), "utf8") === before
  return { tarball: join(checkout, packed?.filename ?? ""), files: packed?.files ?? [], isRestored }
})

const compilerOptions = {
  module: "nodenext",
  target: "esnext",
  strict: true,
  noEmit: true,
  allowImportingTsExtensions: true,
  skipLibCheck: true,
  types: []
}

const make = Effect.gen(function* () {
  const { files, isRestored, tarball } = yield* pack
  const folder = yield* temporaryFolder("project")
  const configure = (name: string, content: unknown) => writeFileSync(join(folder, name), JSON.stringify(content))
  configure("package.json", { name: "somebody", type: "module", private: true })
  configure("tsconfig.json", { compilerOptions: { ...compilerOptions, erasableSyntaxOnly: true } })
  // The embedded server and its programs are optional, and large.
  const quickly = ["--prefer-offline", "--no-audit", "--no-fund", "--ignore-scripts", "--omit=optional"]
  yield* run("npm", ["install", "--loglevel=error", ...quickly, tarball], { cwd: folder, env })
  const writeSources = (sources: Readonly<Record<string, string>>) =>
    Effect.sync(() => {
      for (const [name, text] of Object.entries(sources)) writeFileSync(join(folder, name), text)
    })
  const compiler = run(join(root, "node_modules/.bin/tsc"), ["--project", "."], { cwd: folder, env })
  const said = Effect.match(compiler, { onFailure: ({ message }) => message, onSuccess: (said) => said })
  return InstalledPackage.of({
    folder,
    files,
    isRestored,
    write: writeSources,
    compile: (sources) => Effect.andThen(writeSources(sources), said)
  })
})

/** Packs and installs once for all that use the layer. */
export const layer = Layer.effect(InstalledPackage, make)
