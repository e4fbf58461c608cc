/** The operator on kopf: Python with the packages of its requirements, installed once, and how it is started. */
import { createHash, randomUUID } from "node:crypto"
import { existsSync, readFileSync } from "node:fs"
import { mkdir, rename } from "node:fs/promises"
import { homedir } from "node:os"
import { join } from "node:path"
import { Console, Effect } from "effect"
import { spawn } from "../../test/support/servers/Child.ts"
import { run } from "../../test/support/servers/command.ts"
import { temporaryFolder } from "../../test/support/servers/temporaryFolder.ts"
import { attempt, BenchmarkError } from "../BenchmarkError.ts"

const folder = join(import.meta.dirname, "../reference/kopf")
const requirements = join(folder, "requirements.txt")

/** The version that is measured. */
export const version = /^kopf==(.+)$/m.exec(readFileSync(requirements, "utf8"))?.[1] ?? ""

const environment = { PATH: process.env.PATH, HOME: process.env.HOME }

/** Kept between runs; other requirements are another folder. */
const kept = (): string => {
  const hash = createHash("sha256").update(readFileSync(requirements)).digest("hex").slice(0, 16)
  return join(process.env.PAYSTREAM_CACHE ?? join(homedir(), ".cache/paystream"), `kopf-${version}-${hash}`)
}

/** Python that has kopf, installed from PyPI unless it was before. */
const findPython = Effect.gen(function* () {
  const own = kept()
  if (!existsSync(own)) yield* install(own)
  return join(own, "bin/python")
})

const install = Effect.fnUntraced(function* (own: string) {
  yield* Console.error(`bench: installing kopf ${version} from PyPI, once`)
  const unfinished = `${own}.${randomUUID()}`
  yield* attempt("make the cache", () => mkdir(join(own, ".."), { recursive: true }))
  yield* run("python3", ["-m", "venv", unfinished], { env: environment }).pipe(Effect.mapError(missing))
  const pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary=:all:"]
  yield* run(join(unfinished, "bin/python"), [...pip, "-r", requirements], { env: environment }).pipe(
    Effect.mapError(missing)
  )
  // only a whole one gets the name
  yield* attempt("keep the packages", () => rename(unfinished, own))
})

const missing = (cause: Error) =>
  new BenchmarkError({
    message: `cannot install kopf ${version}: ${cause.message}\nIt takes Python 3.11 or later with venv, and PyPI; --only=product measures without it`,
    cause
  })

/** Starts it for a namespace; without a peer, which is what kopf has for a lease. */
export const start = Effect.fnUntraced(function* (namespace: string, kubeconfig: string) {
  const python = yield* findPython
  const args = ["-m", "kopf", "run", "--quiet", "--standalone", `--namespace=${namespace}`, join(folder, "operator.py")]
  const cwd = yield* temporaryFolder("kopf")
  return yield* spawn(python, args, {
    cwd,
    env: { ...environment, PYTHONDONTWRITEBYTECODE: "1", KUBECONFIG: kubeconfig }
  })
})
