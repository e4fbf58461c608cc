/** The rules of the house that can be read off the sources: who imports whom, what is not written, and how long. */
import { readdirSync, readFileSync } from "node:fs"
import { dirname, join, relative, sep } from "node:path"
import { fileURLToPath } from "node:url"
import { assert, describe, it } from "@effect/vitest"

const source = fileURLToPath(new URL("../src", import.meta.url))

interface SourceFile {
  /** From `src`, with slashes. */
  readonly path: string
  readonly text: string
}

const files: ReadonlyArray<SourceFile> = readdirSync(source, { recursive: true, encoding: "utf8" })
  .filter((path) => path.endsWith(".ts"))
  .map((path) => ({ path: path.split(sep).join("/"), text: readFileSync(join(source, path), "utf8") }))

/** Without comments, in which any word may stand. */
const codeOf = ({ text }: SourceFile): string => text.replace(/\/\*[\s\S]*?\*\//g, "").replace(/(^|\s)\/\/.*$/gm, "")

const importsOf = ({ path, text }: SourceFile): ReadonlyArray<string> =>
  [...text.matchAll(/(?:from|import\() ?"([^"]+)"/g)].map(([, name = ""]) =>
    name.startsWith(".")
      ? relative(source, join(source, dirname(path), name))
          .split(sep)
          .join("/")
      : name
  )

/** What is loaded with a file; what it loads later, when it is asked for, is not among it. */
const loadedWith = (path: string, known: ReadonlySet<string> = new Set()): ReadonlySet<string> => {
  const text = files.find((file) => file.path === path)?.text ?? ""
  const names = [...text.matchAll(/^(?:import|export) (?!type )[^"()]*?from "(\.[^"]+)"/gm)]
  return names
    .map(([, name = ""]) => join(dirname(path), name).split(sep).join("/"))
    .reduce<ReadonlySet<string>>(
      (loaded, next) => (loaded.has(next) ? loaded : loadedWith(next, loaded)),
      new Set([...known, path])
    )
}

/** From the inside out: each may import itself and what stands before it. */
const rooms = ["domain", "streams", "operator", "layers", "modes", "exports", "index.ts", "main.ts"]
const roomOf = (path: string): number => rooms.indexOf(path.split("/")[0] ?? "")
const technologyOf = (path: string): string | undefined => (path.startsWith("layers/") ? path.split("/")[1] : undefined)

/** Every import of our own that breaks a rule, as "from → to". */
const importsThat = (breakRule: (from: string, to: string) => boolean): ReadonlyArray<string> =>
  files.flatMap((file) =>
    importsOf(file)
      .filter((to) => roomOf(to) >= 0 && breakRule(file.path, to))
      .map((to) => `${file.path} → ${to}`)
  )

describe("The sources", () => {
  it("are all in a room of the house", () => {
    assert.isAbove(files.length, 20)
    assert.deepStrictEqual(
      files.map(({ path }) => path).filter((path) => roomOf(path) < 0),
      []
    )
  })

  it("import inwards only: domain ← streams ← operator and layers ← modes ← exports ← main", () => {
    assert.deepStrictEqual(
      importsThat((from, to) => roomOf(to) > roomOf(from)),
      []
    )
  })

  it("do not import the operator from layers: neither knows the other", () => {
    assert.deepStrictEqual(
      importsThat((from, to) => from.startsWith("layers/") && to.startsWith("operator/")),
      []
    )
  })

  it("do not import one technology from another's folder; the configuration is everybody's", () => {
    const isForeign = (from: string, to: string) =>
      technologyOf(from) !== undefined &&
      technologyOf(to) !== undefined &&
      technologyOf(to) !== "config" &&
      technologyOf(from) !== technologyOf(to)
    assert.deepStrictEqual(importsThat(isForeign), [])
  })

  it("reach nothing outside from domain, streams and operator but Effect", () => {
    const outside = files
      .filter(({ path }) => roomOf(path) <= roomOf("operator"))
      .flatMap((file) => importsOf(file).map((name) => [file.path, name] as const))
      .filter(([, name]) => roomOf(name) < 0 && name !== "effect" && !name.startsWith("effect/"))
    assert.deepStrictEqual(outside, [])
  })

  it("load nothing of brokers and databases with a mode that has no use for them", () => {
    const loaded = [...loadedWith("modes/Operator.ts")]
    assert.include(loaded, "layers/kubernetes/KubernetesCluster.ts")
    assert.include(loaded, "modes/Services.ts")
    const unused = /^layers\/(embedded|kafka|postgres|rabbitmq|redis|stripe)\//
    assert.deepStrictEqual(
      loaded.filter((path) => unused.test(path)),
      []
    )
  })

  const banned: ReadonlyArray<readonly [name: string, pattern: RegExp, instead: string]> = [
    ["console", /\bconsole\./, "Effect.log, or Console"],
    ["Date.now", /\bDate\.now\(|\bnew Date\(\)/, "Clock"],
    ["Math.random", /\bMath\.random\(/, "Random"],
    ["any", /\bas any\b|: any\b(?! \w)|<any>/, "unknown, and a check"],
    ["process.exit", /\bprocess\.exit\(/, "an exit code, where the process ends"],
    ["runSync", /\bEffect\.run(Sync|Promise)\(/, "an effect that is returned"]
  ]
  const mayAnyway: Readonly<Record<string, ReadonlyArray<string>>> = {
    "process.exit": ["layers/process/Signals.ts", "layers/process/Process.ts"]
  }

  for (const [name, pattern, instead] of banned) {
    it(`do not say ${name}, but ${instead}`, () => {
      const found = files.filter((file) => pattern.test(codeOf(file)) && !mayAnyway[name]?.includes(file.path))
      assert.deepStrictEqual(
        found.map(({ path }) => path),
        []
      )
    })
  }

  it("have files of 300 lines at most", () => {
    assert.deepStrictEqual(
      files.filter(({ text }) => text.split("\n").length > 301).map(({ path }) => path),
      []
    )
  })

  it("have functions of 70 lines at most", () => {
    const long = files.flatMap((file) =>
      declarationsOf(file)
        .filter(({ lines }) => lines > 70)
        .map(({ name }) => `${file.path}: ${name}`)
    )
    assert.deepStrictEqual(long, [])
  })

  it("say at each port what it guarantees", () => {
    const ports = files.filter(({ path }) => path.startsWith("domain/ports/"))
    assert.isAtLeast(ports.length, 2)
    for (const { path, text } of ports) assert.match(text.split("*/")[0] ?? "", /## Guarantees\n \* - /, path)
  })

  it("begin each with what they are for", () => {
    assert.deepStrictEqual(
      files.filter(({ text }) => !text.replace(/^#!.*\n/, "").startsWith("/**")).map(({ path }) => path),
      []
    )
  })
})

/** What is declared at the margin, up to the line that closes it: the formatter closes at the margin too. */
const declarationsOf = ({ text }: SourceFile): ReadonlyArray<{ readonly name: string; readonly lines: number }> => {
  const lines = text.split("\n")
  return lines.flatMap((line, start) => {
    const name = /^(?:export )?(?:const|function|class) (\w+)/.exec(line)?.[1]
    const end = lines.findIndex(
      (other, index) => index >= start && (index === start ? !/[({[<>=]$/.test(other) : /^[^\s]/.test(other))
    )
    return name === undefined ? [] : [{ name, lines: end - start + 1 }]
  })
}
