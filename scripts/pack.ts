/**
 * What `npm pack` ships. Here, sources run unbuilt; in a package they may not, since Node strips no types under
 * `node_modules`. So before packing they are built to `dist`, and package.json says so until the package is made:
 *
 *   prepack: node scripts/pack.ts build      postpack: node scripts/pack.ts restore
 */
import { spawnSync } from "node:child_process"
import { existsSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"

const root = fileURLToPath(new URL("..", import.meta.url))
const manifestFile = join(root, "package.json")
const dist = join(root, "dist")
/** The package.json of the checkout, while another one stands in its place. */
const kept = join(root, "package.checkout.json")

interface Manifest {
  readonly exports: Readonly<Record<string, string>>
  readonly bin: Readonly<Record<string, string>>
  readonly dependencies: Readonly<Record<string, string>>
  readonly optionalDependencies: Readonly<Record<string, string>>
  readonly [field: string]: unknown
}

/** `./src/index.ts` → `./dist/index` */
const built = (source: string): string => source.replace(/^(\.\/)?src\//, "./dist/").replace(/\.ts$/, "")

const mapValues = <A, B>(record: Readonly<Record<string, A>>, change: (value: A) => B): Record<string, B> =>
  Object.fromEntries(Object.entries(record).map(([name, value]) => [name, change(value)]))

/** The same package for those who install it: what is built instead of the sources, and nothing for development. */
const shipped = ({ allowScripts: _, devDependencies: __, scripts: ___, private: ____, ...manifest }: Manifest) => ({
  ...manifest,
  exports: mapValues(manifest.exports, (source) =>
    source.endsWith(".ts") ? { types: `${built(source)}.d.ts`, default: `${built(source)}.js` } : source
  ),
  bin: mapValues(manifest.bin, (source) => `${built(source)}.js`),
  // The pinned Node is for this checkout: whoever installs the package has a runtime.
  optionalDependencies: Object.fromEntries(
    Object.entries(manifest.optionalDependencies).filter(([name]) => !name.startsWith("node-"))
  )
})

const restore = (): void => {
  if (existsSync(kept)) renameSync(kept, manifestFile)
}

const build = (): void => {
  // Of a packing that was broken off.
  restore()
  rmSync(dist, { recursive: true, force: true })
  const { error, status, stderr, stdout } = spawnSync("tsc", ["--project", "tsconfig.build.json"], {
    cwd: root,
    encoding: "utf8"
  })
  if (status !== 0) {
    console.error(error?.message ?? `${stdout}${stderr}`)
    // not process.exit: what is printed into a pipe would be cut off
    process.exitCode = 1
    return
  }
  const text = readFileSync(manifestFile, "utf8")
  writeFileSync(kept, text)
  writeFileSync(manifestFile, `${JSON.stringify(shipped(JSON.parse(text)), null, 2)}\n`)
}

const [command] = process.argv.slice(2)
if (command === "build") build()
else if (command === "restore") restore()
else {
  console.error("usage: node scripts/pack.ts build|restore")
  process.exit(2)
}
