/** What one part of `npm test` has counted, read from the report that vitest leaves of it. */
import { readFileSync } from "node:fs"
import { relative } from "node:path"

/** What passed and what failed; `failures` name each with its file and the beginning of what it said. */
export interface Counts {
  readonly passed: number
  readonly failed: number
  readonly failures: ReadonlyArray<string>
}

interface Report {
  readonly numPassedTests: number
  readonly testResults: ReadonlyArray<FileResult>
}

interface FileResult {
  readonly name: string
  readonly status: string
  readonly message: string
  readonly assertionResults: ReadonlyArray<TestResult>
}

interface TestResult {
  readonly status: string
  readonly fullName: string
  readonly failureMessages: ReadonlyArray<string>
}

/** Lines of a failure that are repeated: enough to say what it was, and the whole stands where the part printed it. */
const linesOfFailure = 12

/** Counts the tests of a report. A file that could not be loaded, an error outside any test, and a part without a test are failures too. */
export const countOf = (file: string, exitCode: number): Counts => {
  const report = readReport(file)
  if (report === undefined) return { passed: 0, failed: 1, failures: ["it left no report: see what it printed"] }
  const failures = report.testResults.flatMap(failuresOf)
  if (failures.length === 0 && (exitCode !== 0 || report.numPassedTests === 0))
    failures.push(`no test of it failed, ${report.numPassedTests} passed, and it ended with exit code ${exitCode}`)
  return { passed: report.numPassedTests, failed: failures.length, failures }
}

const failuresOf = (result: FileResult): Array<string> => {
  const file = relative(process.cwd(), result.name)
  const failed = result.assertionResults.filter((test) => test.status === "failed")
  if (failed.length === 0 && result.status === "failed")
    return [described(`${file}, outside of its tests`, result.message)]
  return failed.map((test) => described(`${file} › ${test.fullName}`, test.failureMessages.join("\n")))
}

const described = (what: string, message: string): string => {
  const lines = message.split("\n").filter((line) => line !== "" && !line.includes("node_modules"))
  return [what, ...lines.slice(0, linesOfFailure)].join("\n  ")
}

const readReport = (file: string): Report | undefined => {
  try {
    return JSON.parse(readFileSync(file, "utf8"))
  } catch {
    return undefined
  }
}
