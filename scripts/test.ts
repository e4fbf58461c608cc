/** `npm test`: runs the parts, as many at once as there are processors for, and closes with a table of times, what failed, and `N passed, N failed`. */
import { type ChildProcess, spawn, spawnSync } from "node:child_process"
import { chmodSync, mkdtempSync, rmSync } from "node:fs"
import { availableParallelism, constants, tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { type Counts, countOf } from "./report.ts"

interface Part {
  readonly name: string
  readonly projects: ReadonlyArray<string>
  readonly runtime: "node" | "bun"
  /** Seconds, as seen on two cores with two parts at a time and 20 rounds of chaos: they keep both cores busy. */
  readonly budget: number
  /** For when it has the machine to itself. */
  readonly byItself?: ReadonlyArray<string>
}

interface Outcome extends Counts {
  readonly part: Part
  readonly seconds: number
}

/** Five minutes instead of nine, for tests that wait half of their time. */
const twoFilesAtOnce = ["--fileParallelism", "--maxWorkers=2"]

/** Begun in this order, the long ones first but for the one that soon says what is wrong: so they end at the same time. */
const parts: ReadonlyArray<Part> = [
  { name: "unit", projects: ["unit"], runtime: "node", budget: 150 },
  { name: "e2e", projects: ["e2e"], runtime: "node", budget: 1900 },
  { name: "chaos", projects: ["chaos"], runtime: "node", budget: 1000 },
  {
    ...{ name: "kubernetes", projects: ["cluster", "kubernetes"], runtime: "node", budget: 800 },
    byItself: twoFilesAtOnce
  },
  { name: "bun", projects: ["unit", "contracts", "cluster"], runtime: "bun", budget: 700 },
  { name: "contracts", projects: ["contracts"], runtime: "node", budget: 600 }
]

/** Each of them starts servers and processes, and waits for them half of its time; more at once would be in each other's way. */
const atOnce = Math.min(2, availableParallelism())

/** A part that takes so many times its budget has got stuck: it is ended, and fails, so that the others are heard of. */
const patience = 2

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
  return { part, seconds, ...countOf(report, code) }
}

/** Runs one part after the other of those that wait, which others take from too. */
const runWaiting = async (waiting: Array<Part>, filters: ReadonlyArray<string>): Promise<ReadonlyArray<Outcome>> => {
  const outcomes: Array<Outcome> = []
  for (let part = waiting.shift(); part !== undefined && stoppedBy === undefined; part = waiting.shift())
    outcomes.push(await runPart(part, filters))
  return outcomes
}

// What a part prints is shown when it is done: those at work at the same time would talk across each other.
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
  const end = () => {
    output.push(`\n== ${part.name} was ended: it took more than ${patience} times its budget\n`)
    child.kill("SIGTERM")
    stuck = setTimeout(() => child.kill("SIGKILL"), 60_000)
  }
  let stuck = setTimeout(end, part.budget * patience * 1000)
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding("utf8").on("data", (text: string) => output.push(text))
  return new Promise((resolve, reject) => {
    child.on("error", reject)
    child.on("close", (code) => {
      clearTimeout(stuck)
      running.delete(child)
      resolve({ code: code ?? 1, output: output.join("") })
    })
  })
}

const printTable = (outcomes: ReadonlyArray<Outcome>): void => {
  console.log("\npart        passed  failed  seconds  budget")
  for (const { part, passed, failed, seconds } of outcomes) {
    const columns = [String(passed).padStart(6), String(failed).padStart(6), seconds.toFixed(1).padStart(7)]
    const late = seconds > part.budget ? "  over its budget" : ""
    console.log(`${part.name.padEnd(10)}  ${columns.join("  ")}  ${String(part.budget).padStart(6)}${late}`)
  }
}

// Once more at the end: where they failed is a long way up, and a record of a run may keep no more than its end.
const printFailures = (outcomes: ReadonlyArray<Outcome>): void => {
  for (const { part, failures } of outcomes)
    for (const failure of failures) console.log(`\nfailed in ${part.name}: ${failure}`)
}

const sum = (numbers: ReadonlyArray<number>): number => numbers.reduce((total, number) => total + number, 0)

const chosenPart = process.argv.find((argument) => argument.startsWith("--part="))?.slice("--part=".length)
const chosen = parts.filter((part) => chosenPart === undefined || part.name === chosenPart)
if (chosen.length === 0) {
  console.error(`no such part: ${chosenPart}; there are ${parts.map((part) => part.name).join(", ")}`)
  process.exit(2)
}
/** What is not ours goes to vitest: a file, or `-t` and the name of a test. */
const given = process.argv.slice(2).filter((argument) => !argument.startsWith("--part="))
const filters = [...(chosen.length === 1 ? (chosen[0]?.byItself ?? []) : []), ...given]

for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.on(signal, () => {
    stoppedBy = signal
    for (const child of running) child.kill("SIGTERM")
  })
}

// Built once for all clones of the repository, which takes minutes: what it says is shown at once.
if (chosen.some(({ projects }) => ["cluster", "kubernetes", "e2e", "chaos"].some((name) => projects.includes(name))))
  spawnSync(process.execPath, [join(root, "test/support/kubernetes/build.ts")], { stdio: "inherit" })

const started = performance.now()
const waiting = [...chosen]
const outcomes = (await Promise.all(Array.from({ length: atOnce }, () => runWaiting(waiting, filters)))).flat()
const seconds = (performance.now() - started) / 1000
rmSync(folder, { recursive: true, force: true, maxRetries: 10 })
const failed = sum(outcomes.map((outcome) => outcome.failed))
printTable(outcomes)
console.log(`all of it in ${seconds.toFixed(0)} s`)
printFailures(outcomes)
console.log(`\n${sum(outcomes.map((outcome) => outcome.passed))} passed, ${failed} failed`)
// not process.exit: what is printed into a pipe would be cut off
process.exitCode = stoppedBy === undefined ? Math.min(failed, 1) : 128 + constants.signals[stoppedBy]
