/** The commands of a page, run one after the other as they are written there. */
import { chmod, readFile, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { assert } from "@effect/vitest"
import { Effect } from "effect"
import { run } from "./servers/command.ts"
import { eventually } from "./servers/eventually.ts"
import type { KubernetesAddress } from "./servers/Kubernetes.ts"
import { ServerError } from "./servers/ServerError.ts"
import { temporaryFolder } from "./servers/temporaryFolder.ts"

const root = fileURLToPath(new URL("../..", import.meta.url))

export interface Command {
  readonly line: string
  /** What the page shows of its answer, below it. */
  readonly shows: ReadonlyArray<string>
  /** Only a node can answer it. */
  readonly needsNode: boolean
}

const promised = <A>(evaluate: () => Promise<A>): Effect.Effect<A, ServerError> =>
  Effect.tryPromise({ try: evaluate, catch: (cause) => new ServerError({ message: "cannot read or write", cause }) })

/** The text of a page, by its path in the repository. */
export const textOf = (page: string) => promised(() => readFile(join(root, page), "utf8"))

export const operatorGuide = "docs/operator.md"

/** Below a heading. */
export const section = (text: string, heading: string): string =>
  text.split(`\n## ${heading}\n`)[1]?.split("\n## ")[0] ?? ""

/** What stands in code marks in the first column of its tables. */
export const firstColumn = (text: string): ReadonlyArray<string> =>
  [...text.matchAll(/^\| ([^|]*) \|/gm)].flatMap(([, cell = ""]) =>
    [...cell.matchAll(/`([^`]+)`/g)].map(([, name = ""]) => name)
  )

/** All commands of a page, in order. */
export const commandsOf = (text: string): ReadonlyArray<Command> =>
  [...text.matchAll(/(<!-- needs a node -->\n)?```sh\n([\s\S]*?)```/g)].flatMap(([, needsNode, block = ""]) =>
    block
      .trim()
      .split(/\n(?!#)/)
      .map((lines) => {
        const [line = "", ...shows] = lines.split("\n")
        return { line, shows: shows.map((shown) => shown.replace(/^# ?/, "")), needsNode: needsNode !== undefined }
      })
  )

/** A kubectl on the PATH that is the administrator's. */
const pathWith = ({ kubeconfig, kubectl }: KubernetesAddress) =>
  Effect.gen(function* () {
    const folder = yield* temporaryFolder("kubectl")
    const program = join(folder, "kubectl")
    const words = [...kubectl, `--kubeconfig=${kubeconfig}`].map((word) => `'${word}'`).join(" ")
    yield* promised(() => writeFile(program, `#!/bin/sh\nexec ${words} "$@"\n`))
    yield* promised(() => chmod(program, 0o755))
    return `${folder}:${process.env.PATH}`
  })

const inOneLine = (text: string): string => text.replace(/\s+/g, " ")

/** Runs commands; one that shows an answer is repeated until it gives that, and any other has to end well. */
export const runner = (address: KubernetesAddress) =>
  Effect.map(pathWith(address), (PATH) => ({ line, shows }: Command) => {
    const both = shows.length > 0 ? `{ ${line}\n} 2>&1 || true` : line
    const once = run("sh", ["-c", both], { cwd: root, env: { PATH, HOME: "/nonexistent" } })
    const answered = Effect.map(once, (answer) => {
      for (const shown of shows) assert.include(inOneLine(answer), inOneLine(shown), line)
    })
    // what changes something is not said twice
    return /^kubectl .*(get|describe|events|explain|wait|rollout status)/.test(line)
      ? eventually(answered, { deadline: "40 seconds", every: "200 millis" })
      : answered
  })
