/** `npm test`: runs the parts in order, and closes with a table of times and `N passed, N failed`. */
import { type ChildProcess, spawn, spawnSync } from "node:child_process"
import { chmodSync, mkdtempSync, readFileSync, rmSync } from "node:fs"
import { constants, tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"

interface Part {
  readonly name: string
  readonly projects: ReadonlyArray<string>
  readonly runtime: "node" | "bun"
  /** Seconds, as seen on two cores with the tracks side by side and 20 rounds of chaos: they keep both cores busy. */
  readonly budget: number
  /** Parts of one track follow each other; e2e mostly waits for servers, and the other track works meanwhile. */
  readonly track: "servers" | "processes"
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
  { name: "unit", projects: ["unit"], runtime: "node", budget: 250, track: "servers" },
  { name: "contracts", projects: ["contracts"], runtime: "node", budget: 700, track: "servers" },
  { name: "kubernetes", projects: ["cluster", "kubernetes"], runtime: "node", budget: 750, track: "servers" },
  { name: "bun", projects: ["unit", "contracts", "cluster"], runtime: "bun", budget: 900, track: "servers" },
  { name: "e2e", projects: ["e2e"], runtime: "node", budget: 2500, track: "processes" }
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

const running = new Set<ChildProcess>()
let stoppedBy: "SIGINT" | "SIGTERM" | undefined

const runPart = async (part: Part, filters: ReadonlyArray<string>): Promise<Outcome> => {
  console.log(`== ${part.name} begins (on ${part.runtime}, budget ${part.budget} s)`)
  const report = join(folder, `${part.name}.json`)
  const started = performance.now()
  const { code, output } = await runVitest(part, report, filters)
  const seconds = (performance.now() - started) / 1000
  console.log(`\n== ${part.name}, after ${seconds.toFixed(0)} s\n${output}`)
  return { part, seconds, ...count(report, code) }
}

/** The parts of a track, one after the other. */
const runTrack = async (
  track: ReadonlyArray<Part>,
  filters: ReadonlyArray<string>
): Promise<ReadonlyArray<Outcome>> => {
  const outcomes: Array<Outcome> = []
  for (const part of track) if (stoppedBy === undefined) outcomes.push(await runPart(part, filters))
  return outcomes
}

// What a part prints is shown when it is done: the tracks would talk across each other.
const runVitest = (
  part: Part,
  report: string,
  filters: ReadonlyArray<string>
): Promise<{ code: number; output: string }> => {
  const [program, ...args] = commands[part.runtime]
  const projects = part.projects.flatMap((project) => ["--project", project])
  const reporters = ["--reporter=default", "--reporter=json", `--outputFile.json=${report}`]
  const env = { ...process.env, TMPDIR: folder }
  const child = spawn(program, [...args, ...projects, ...reporters, ...filters], {
    cwd: root,
    env,
    stdio: ["ignore", "pipe", "pipe"]
  })
  running.add(child)
  const output: Array<string> = []
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding("utf8").on("data", (text: string) => output.push(text))
  return new Promise((resolve, reject) => {
    child.on("error", reject)
    child.on("close", (code) => {
      running.delete(child)
      resolve({ code: code ?? 1, output: output.join("") })
    })
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
  console.log("\npart        passed  failed  seconds  budget")
  for (const { part, passed, failed, seconds } of outcomes) {
    const columns = [String(passed).padStart(6), String(failed).padStart(6), seconds.toFixed(1).padStart(7)]
    const late = seconds > part.budget ? "  over its budget" : ""
    console.log(`${part.name.padEnd(10)}  ${columns.join("  ")}  ${String(part.budget).padStart(6)}${late}`)
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
    for (const child of running) child.kill("SIGTERM")
  })
}

// Built once for all clones of the repository, which takes minutes: what it says is shown at once.
if (chosen.some(({ projects }) => ["cluster", "kubernetes", "e2e"].some((name) => projects.includes(name))))
  spawnSync(process.execPath, [join(root, "test/support/kubernetes/build.ts")], { stdio: "inherit" })

const started = performance.now()
// Where nobody waits, one part at a time: less load, fewer surprises.
const tracks = Map.groupBy(chosen, (part) => (process.env.CI === undefined ? part.track : "all"))
const outcomes = (await Promise.all([...tracks.values()].map((track) => runTrack(track, filters)))).flat()
const seconds = (performance.now() - started) / 1000
rmSync(folder, { recursive: true, force: true, maxRetries: 10 })
const failed = sum(outcomes.map((outcome) => outcome.failed))
printTable(outcomes)
console.log(`all of it in ${seconds.toFixed(0)} s`)
console.log(`\n${sum(outcomes.map((outcome) => outcome.passed))} passed, ${failed} failed`)
// not process.exit: what is printed into a pipe would be cut off
process.exitCode = stoppedBy === undefined ? Math.min(failed, 1) : 128 + constants.signals[stoppedBy]
