/** Builds the Dockerfile for real: a Docker engine where one runs, else Buildah, which needs none. */
import { existsSync } from "node:fs"
import { homedir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { Effect } from "effect"
import { folderOf, run } from "../servers/command.ts"
import { ServerError } from "../servers/ServerError.ts"
import { canInstall, dockerAnswers, install } from "../servers/Source.ts"
import { temporaryFolder } from "../servers/temporaryFolder.ts"
import * as LocalBase from "./LocalBase.ts"

const root = fileURLToPath(new URL("../../..", import.meta.url))

/** What an image says of how it is run. */
export interface ImageConfig {
  readonly User?: string
  readonly Entrypoint?: ReadonlyArray<string>
  readonly Env?: ReadonlyArray<string>
  readonly Labels?: Readonly<Record<string, string>>
  readonly StopSignal?: string
}

export interface Builder {
  readonly name: "docker" | "buildah"
  readonly build: (image: string, mode: string) => Effect.Effect<void, ServerError>
  readonly config: (image: string) => Effect.Effect<ImageConfig, ServerError>
  /** Writes it into a file, as `docker save` does. */
  readonly save: (image: string, file: string) => Effect.Effect<void, ServerError>
  /** The files in it. */
  readonly files: (image: string) => Effect.Effect<string, ServerError>
}

const env = process.env
const missing = new ServerError({
  message: "a builder: start a Docker engine, or install buildah (as root on Debian it is installed by itself)"
})

/** The one to use here. */
export const find = Effect.gen(function* () {
  if (yield* dockerAnswers) return docker
  if (folderOf("buildah", []) === undefined && canInstall()) yield* install("buildah")
  if (folderOf("buildah", []) === undefined || process.getuid?.() !== 0) return yield* missing
  return yield* buildah
})

/** A registry of one's own is in npm's configuration, which may have secrets in it. */
const npmrc = join(homedir(), ".npmrc")
const secret = existsSync(npmrc) ? ["--secret", `id=npmrc,src=${npmrc}`] : []
const buildArg = (name: string, value: string) => ["--build-arg", `${name}=${value}`]

const dockerRun = (...args: ReadonlyArray<string>) => run("docker", args, { cwd: root, env })

const docker: Builder = {
  name: "docker",
  build: (image, mode) =>
    Effect.asVoid(dockerRun("build", ...secret, "--target", mode, ...basesGiven, "--tag", image, ".")),
  config: (image) => Effect.map(dockerRun("image", "inspect", image), (text) => JSON.parse(text)[0].Config),
  save: (image, file) => Effect.asVoid(dockerRun("save", "--output", file, image)),
  files: (image) =>
    Effect.scoped(
      Effect.gen(function* () {
        const create = Effect.map(dockerRun("create", image), (id) => id.trim())
        const id = yield* Effect.acquireRelease(create, (id) => Effect.ignore(dockerRun("rm", id)))
        return yield* run("sh", ["-c", `docker export ${id} | tar --list`], { env })
      })
    )
}

/** Bases that somebody has where no registry can be reached. */
const basesGiven = ["BASE", "BUILD_BASE"].flatMap((name) => {
  const value = process.env[`IMAGE_${name}`]
  return value === undefined ? [] : buildArg(name, value)
})

const buildah = Effect.gen(function* () {
  const folder = yield* temporaryFolder("images")
  const command = (...args: ReadonlyArray<string>) =>
    run("buildah", ["--root", join(folder, "storage"), "--runroot", join(folder, "run"), ...args], { cwd: root, env })
  yield* Effect.addFinalizer(() => Effect.ignore(command("umount", "--all")))
  const bases = basesGiven.length > 0 ? basesGiven : yield* localBases(folder, command)
  const isolated = ["--isolation", "chroot", "--network", "host", "--layers"]
  const builder: Builder = {
    name: "buildah",
    build: (image, mode) =>
      Effect.asVoid(command("build", ...isolated, ...secret, ...bases, "--target", mode, "--tag", image, ".")),
    config: (image) =>
      Effect.map(command("inspect", "--type", "image", image), (text) => JSON.parse(text).OCIv1.config),
    save: (image, file) => Effect.asVoid(command("push", image, `docker-archive:${file}:docker.io/library/${image}`)),
    files: (image) =>
      Effect.gen(function* () {
        const container = (yield* command("from", image)).trim()
        const mounted = (yield* command("mount", container)).trim()
        const listed = yield* run("find", [mounted, "-type", "f", "-printf", "%P\\n"], { env })
        yield* command("rm", container)
        return listed
      })
  }
  return builder
})

type Command = (...args: ReadonlyArray<string>) => Effect.Effect<string, ServerError>

const localBases = (folder: string, command: Command) =>
  Effect.gen(function* () {
    const base = yield* LocalBase.makeBase(folder)
    const buildBase = yield* LocalBase.makeBuildBase(folder, base)
    for (const [name, files] of Object.entries({ base, "build-base": buildBase })) {
      const container = (yield* command("from", "scratch")).trim()
      yield* command("add", "--quiet", container, files, "/")
      const variables = Object.entries(LocalBase.environment).flatMap(([name, value]) => ["--env", `${name}=${value}`])
      yield* command("config", ...variables, container)
      yield* command("commit", "--quiet", "--rm", container, `localhost/paystream-${name}:1`)
    }
    return [
      ...buildArg("BASE", "localhost/paystream-base:1"),
      ...buildArg("BUILD_BASE", "localhost/paystream-build-base:1")
    ]
  })
