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

/** `payments-worker:latest` and its like, on Node; with the tag `bun`, on Bun. */
export const find = (name: string): Image | undefined => {
  const [repository = "", tag = "latest"] = name.split(":")
  const mode = modes[repository]
  if (mode === undefined || !["latest", "bun"].includes(tag)) return undefined
  return { entrypoint: localCommand(tag === "bun" ? "bun" : "node"), env: { MODE: mode } }
}

/** A container's own command takes the place of the image's. */
export const commandOf = ({ entrypoint }: Image, { args = [], command }: Container): Command => {
  const [program, ...own] = command ?? entrypoint
  return program === undefined ? entrypoint : [program, ...own, ...args]
}
