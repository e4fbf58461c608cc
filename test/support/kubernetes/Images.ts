/** The images of the node of the tests: the start command of the Dockerfile, with this checkout in the image's place. */
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import type { Container } from "../../../src/domain/ClusterObjects.ts"

const root = fileURLToPath(new URL("../../..", import.meta.url))

type Command = readonly [program: string, ...args: ReadonlyArray<string>]

export interface Image {
  readonly entrypoint: Command
  readonly env: Readonly<Record<string, string>>
}

/** As the Dockerfile says it. */
const entrypoint: ReadonlyArray<string> = JSON.parse(
  /^ENTRYPOINT (\[.*\])$/m.exec(readFileSync(join(root, "Dockerfile"), "utf8"))?.[1] ?? "[]"
)

const programs: Readonly<Record<string, Command>> = {
  node: [join(root, "node_modules/.bin/node")],
  bun: [join(root, "node_modules/.bin/bun"), "--no-env-file"]
}

/** The image's Node, or the other runtime, is that of this checkout; its /app is the checkout. */
const localCommand = (runtime: string): Command => {
  const [program = "node", ...own] = programs[runtime] ?? []
  const [, ...args] = entrypoint
  return [program, ...own, ...args.map((word) => word.replace(/^\/app\//, root))]
}

const modes: Readonly<Record<string, string>> = {
  "payments-worker": "worker",
  "paymentjob-operator": "operator"
}

/** What there is of each image, and on which runtime; `2` is what an upgrade is to. */
const runtimes: Readonly<Record<string, string>> = { latest: "node", bun: "bun", 2: "bun" }

/** `payments-worker:latest` and its like. */
export const find = (name: string): Image | undefined => {
  const [repository = "", tag = "latest"] = name.split(":")
  const [mode, runtime] = [modes[repository], runtimes[tag]]
  if (mode === undefined || runtime === undefined) return undefined
  return { entrypoint: localCommand(runtime), env: { MODE: mode } }
}

/** A container's own command takes the place of the image's. */
export const commandOf = ({ entrypoint }: Image, { args = [], command }: Container): Command => {
  const [program, ...own] = command ?? entrypoint
  return program === undefined ? entrypoint : [program, ...own, ...args]
}
