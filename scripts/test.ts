/** `npm test`: runs the parts in order, and closes with a table of times and `N passed, N failed`. */
import { type ChildProcess, spawn } from "node:child_process"
import { chmodSync, mkdtempSync, readFileSync, rmSync } from "node:fs"
import { constants, tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"

interface Part {
  readonly name: string
  readonly projects: ReadonlyArray<string>
  readonly runtime: "node" | "bun"
  /** Seconds of the 240 that all parts may take together. */
  readonly budget: number
}

interface Outcome {
  readonly part: Part
  readonly passed: number
  readonly failed: number
  readonly seconds: number
}

interface Report {
  readonly numPassedTests: number
  readonly numFailedTests: number
  readonly testResults: ReadonlyArray<{ readonly status: string; readonly assertionResults: ReadonlyArray<unknown> }>
}

const parts: ReadonlyArray<Part> = [
  { name: "unit", projects: ["unit"], runtime: "node", budget: 20 },
  { name: "contracts", projects: ["contracts"], runtime: "node", budget: 40 },
  { name: "e2e", projects: ["e2e"], runtime: "node", budget: 120 },
  { name: "bun", projects: ["unit", "contracts"], runtime: "bun", budget: 60 }
]

const root = fileURLToPath(new URL("..", import.meta.url))
const vitest = join(root, "node_modules/vitest/vitest.mjs")

// the forks pool crashes on Bun
const commands = {
  node: [process.execPath, vitest, "run"],
  bun: [join(root, "node_modules/.bin/bun"), "--bun", vitest, "run", "--pool", "threads"]
} as const

/** Everything temporary of this run, removed at its end however that comes; a server's own account must reach it. */
const folder = mkdtempSync(join(tmpdir(), "paystream-test-"))
chmodSync(folder, 0o755)

let current: ChildProcess | undefined
let stoppedBy: "SIGINT" | "SIGTERM" | undefined

const runPart = async (part: Part, filters: ReadonlyArray<string>): Promise<Outcome> => {
  console.log(`\n== ${part.name} (on ${part.runtime}, budget ${part.budget} s)`)
  const report = join(folder, `${part.name}.json`)
  const started = performance.now()
  const code = await runVitest(part, report, filters)
  const seconds = (performance.now() - started) / 1000
  return { part, seconds, ...count(report, code) }
}

const runVitest = (part: Part, report: string, filters: ReadonlyArray<string>): Promise<number> => {
  const [program, ...args] = commands[part.runtime]
  const projects = part.projects.flatMap((project) => ["--project", project])
  const reporters = ["--reporter=default", "--reporter=json", `--outputFile.json=${report}`]
  const env = { ...process.env, TMPDIR: folder }
  const child = spawn(program, [...args, ...projects, ...reporters, ...filters], { cwd: root, env, stdio: "inherit" })
  current = child
  return new Promise((resolve, reject) => {
    child.on("error", reject)
    child.on("exit", (code) => resolve(code ?? 1))
  })
}

/** A file that could not be loaded, an error outside any test, and a part without a test are failures too. */
const count = (file: string, code: number): Pick<Outcome, "passed" | "failed"> => {
  const report = readReport(file)
  if (report === undefined) return { passed: 0, failed: 1 }
  const unloaded = report.testResults.filter((result) => result.status === "failed" && !result.assertionResults.length)
  const failed = report.numFailedTests + unloaded.length
  const unexplained = failed === 0 && (code !== 0 || report.numPassedTests === 0)
  return { passed: report.numPassedTests, failed: unexplained ? 1 : failed }
}

const readReport = (file: string): Report | undefined => {
  try {
    return JSON.parse(readFileSync(file, "utf8"))
  } catch {
    return undefined
  }
}

const printTable = (outcomes: ReadonlyArray<Outcome>): void => {
  console.log("\npart       passed  failed  seconds  budget")
  for (const { part, passed, failed, seconds } of outcomes) {
    const columns = [String(passed).padStart(6), String(failed).padStart(6), seconds.toFixed(1).padStart(7)]
    const late = seconds > part.budget ? "  over its budget" : ""
    console.log(`${part.name.padEnd(9)}  ${columns.join("  ")}  ${String(part.budget).padStart(6)}${late}`)
  }
}

const sum = (numbers: ReadonlyArray<number>): number => numbers.reduce((total, number) => total + number, 0)

const chosenPart = process.argv.find((argument) => argument.startsWith("--part="))?.slice("--part=".length)
/** What is not ours goes to vitest: a file, or `-t` and the name of a test. */
const filters = process.argv.slice(2).filter((argument) => !argument.startsWith("--part="))
const chosen = parts.filter((part) => chosenPart === undefined || part.name === chosenPart)
if (chosen.length === 0) {
  console.error(`no such part: ${chosenPart}; there are ${parts.map((part) => part.name).join(", ")}`)
  process.exit(2)
}

for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.on(signal, () => {
    stoppedBy = signal
    current?.kill("SIGTERM")
  })
}

const outcomes: Array<Outcome> = []
for (const part of chosen) {
  if (stoppedBy === undefined) outcomes.push(await runPart(part, filters))
}
rmSync(folder, { recursive: true, force: true, maxRetries: 10 })
const failed = sum(outcomes.map((outcome) => outcome.failed))
printTable(outcomes)
console.log(`\n${sum(outcomes.map((outcome) => outcome.passed))} passed, ${failed} failed`)
process.exit(stoppedBy === undefined ? Math.min(failed, 1) : 128 + constants.signals[stoppedBy])
