import { tmpdir } from "node:os"
import { join } from "node:path"
import { Data, Effect } from "effect"
import { folderOf, run } from "./command.ts"
import { ServerError } from "./ServerError.ts"

/** Where a server comes from. */
export type Source = Data.TaggedEnum<{
  Address: { readonly url: string }
  Binary: { readonly folder: string }
  Container: Record<never, never>
}>

export const Source = Data.taggedEnum<Source>()

/** What to look for. */
export interface Wanted {
  readonly name: string
  /** The variable of the environment that may hold the address of a server. */
  readonly variable: string
  readonly program: string
  /** Its usual folders, looked at before the PATH. */
  readonly folders: () => ReadonlyArray<string>
  readonly debianPackage: string
}

/** A server to use: one given by address, or else one to start ourselves. */
export const findAny = (wanted: Wanted): Effect.Effect<Source, ServerError> => {
  const url = process.env[wanted.variable]
  return url ? Effect.succeed(Source.Address({ url })) : findOwn(wanted)
}

/** A server to start ourselves, which a test may stop: a binary, a container, or a binary after installing it. */
export const findOwn = (wanted: Wanted): Effect.Effect<Exclude<Source, { _tag: "Address" }>, ServerError> =>
  Effect.gen(function* () {
    const binary = binaryOf(wanted)
    if (binary) return binary
    if (yield* dockerAnswers) return Source.Container()
    if (canInstall()) yield* install(wanted.debianPackage)
    return binaryOf(wanted) ?? (yield* missing(wanted))
  })

const binaryOf = ({ program, folders }: Wanted) => {
  const folder = folderOf(program, folders())
  return folder === undefined ? undefined : Source.Binary({ folder })
}

export const dockerAnswers = Effect.suspend(() => run("docker", ["info"], { env: process.env })).pipe(
  Effect.as(true),
  Effect.orElseSucceed(() => false)
)

/** Parts of a test run that go side by side install one after the other. */
const installLock = join(tmpdir(), "paystream-install.lock")

export const canInstall = () => process.getuid?.() === 0 && folderOf("apt-get", []) !== undefined

/** RUNLEVEL keeps Debian from starting the system's service; whether all went well shows in the binary being there. */
export const install = (debianPackage: string): Effect.Effect<void> => {
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive", RUNLEVEL: "1" }
  const aptGet = (...args: ReadonlyArray<string>) =>
    run("flock", [installLock, "apt-get", "-o", "DPkg::Lock::Timeout=300", ...args], { env })
  return aptGet("update").pipe(
    Effect.andThen(aptGet("install", "--yes", "--no-install-recommends", debianPackage)),
    Effect.ignore
  )
}

export const missing = ({ name, variable, program, debianPackage }: Wanted) =>
  new ServerError({
    message: `${name}: put ${program} on the PATH (Debian: apt-get install ${debianPackage}), start a Docker engine, \
or give the address of a running one in ${variable}`
  })
