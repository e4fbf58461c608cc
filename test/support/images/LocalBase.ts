/** Base images where no registry can be reached: of Debian's packages, unpacked, and this machine's own npm. */
import { chmod, copyFile, cp, mkdir, readdir, rm, symlink, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { Effect } from "effect"
import { run } from "../servers/command.ts"
import { ServerError } from "../servers/ServerError.ts"

/** What a program that is linked to glibc and libstdc++ needs, and a client of TLS. */
const forPrograms = ["base-files", "libc6", "libgcc-s1", "libstdc++6", "gcc-12-base", "netbase", "tzdata"]
/** The embedded services are watched by a script, and PostgreSQL's programs call each other by way of a shell. */
const forShell = ["dash", "coreutils", "libselinux1", "libacl1", "libattr1", "libgmp10", "libpcre2-8-0"]
const forBuilding = ["findutils"]

const authorities = "/etc/ssl/certs/ca-certificates.crt"
const root = fileURLToPath(new URL("../../..", import.meta.url))

const promised = <A>(evaluate: () => Promise<A>): Effect.Effect<A, ServerError> =>
  Effect.tryPromise({
    try: evaluate,
    catch: (cause) => new ServerError({ message: "cannot put a base image together", cause })
  })

/** Unpacks packages into a folder, without installing them. */
const unpack = (packages: ReadonlyArray<string>, folder: string, debs: string) =>
  Effect.gen(function* () {
    yield* promised(() => mkdir(debs, { recursive: true }))
    // not apt's own user: it may not write there
    const download = ["-o", "APT::Sandbox::User=root", "download", "--quiet=2", ...packages]
    yield* run("apt-get", download, { cwd: debs, env: process.env })
    for (const deb of yield* promised(() => readdir(debs))) {
      yield* run("dpkg-deb", ["--extract", join(debs, deb), folder], { env: process.env })
    }
  })

/** Files of an image to run in. */
export const makeBase = (folder: string) =>
  Effect.gen(function* () {
    const files = join(folder, "base")
    yield* promised(() => mkdir(files, { recursive: true }))
    yield* unpack([...forPrograms, ...forShell], files, join(folder, "base-debs"))
    yield* promised(async () => {
      await mkdir(join(files, "etc/ssl/certs"), { recursive: true })
      await copyFile(authorities, join(files, authorities))
      await writeFile(join(files, "etc/passwd"), "root:x:0:0:root:/root:/sbin/nologin\n")
      await mkdir(join(files, "tmp"), { recursive: true })
      await chmod(join(files, "tmp"), 0o1777)
      await rm(join(files, "bin/sh"), { force: true })
      await symlink("dash", join(files, "bin/sh"))
    })
    return files
  })

/** Files of an image to fetch the packages in: the same, and this checkout's Node with this machine's npm. */
export const makeBuildBase = (folder: string, base: string) =>
  Effect.gen(function* () {
    const files = join(folder, "build-base")
    yield* promised(() => cp(base, files, { recursive: true, verbatimSymlinks: true }))
    yield* unpack(forBuilding, files, join(folder, "build-debs"))
    const npm = (yield* run("npm", ["root", "--global"], { env: process.env })).trim()
    yield* promised(async () => {
      const programs = join(files, "usr/local/bin")
      await mkdir(programs, { recursive: true })
      await copyFile(join(root, "node_modules/.bin/node"), join(programs, "node"))
      await cp(join(npm, "npm"), join(files, "usr/local/lib/npm"), { recursive: true, dereference: true })
      await writeFile(join(programs, "npm"), '#!/bin/sh\nexec node /usr/local/lib/npm/bin/npm-cli.js "$@"\n')
      await chmod(join(programs, "npm"), 0o755)
    })
    return files
  })

/** For what is downloaded in it: the authorities that this machine trusts. */
export const environment = { PATH: "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", NODE_EXTRA_CA_CERTS: authorities }
