/** Command lines that are refused, and what is said of them. */
import { assert, describe, it } from "@effect/vitest"
import { Option } from "effect"
import { subcommands } from "../../src/modes/Commands.ts"
import { type Flags, flags, type ModeName, misplaced } from "../../src/modes/Flags.ts"
import { isMode, listOfModes, UnknownMode } from "../../src/modes/Modes.ts"
import { nearest } from "../../src/modes/Nearest.ts"
import { strayFlag } from "../../src/modes/Usage.ts"

const modes = [...listOfModes.matchAll(/--mode=(\w+)/g)].map(([, name = ""]) => name).filter(isMode)

const none: Flags = {
  mode: Option.none(),
  count: Option.none(),
  queue: Option.none(),
  host: Option.none(),
  topic: Option.none(),
  values: [],
  key: Option.none(),
  status: false,
  topics: false,
  database: false,
  worker: [],
  workers: Option.none(),
  job: [],
  jobs: Option.none(),
  rate: Option.none(),
  target: Option.none(),
  invalid: Option.none(),
  timeout: Option.none(),
  json: false
}

/** Each flag, given. */
const given: { readonly [Name in keyof Flags]: Pick<Flags, Name> } = {
  mode: { mode: Option.some("worker") },
  count: { count: Option.some(1) },
  queue: { queue: Option.some("") },
  host: { host: Option.some("h") },
  topic: { topic: Option.some("t") },
  values: { values: ["1"] },
  key: { key: Option.some("k") },
  status: { status: true },
  topics: { topics: true },
  database: { database: true },
  worker: { worker: ["w"] },
  workers: { workers: Option.some("./w.ts") },
  job: { job: ["j"] },
  jobs: { jobs: Option.some("./j.ts") },
  rate: { rate: Option.some(10) },
  target: { target: Option.some("http://localhost") },
  invalid: { invalid: Option.some(0) },
  timeout: { timeout: Option.some(60) },
  json: { json: true }
}

/** What each mode takes. */
const takes: Readonly<Record<ModeName, string>> = {
  worker: "",
  migrate: "status topics database worker workers json",
  publish: "count queue host topic values key json",
  consumers: "worker workers",
  api: "",
  simulate: "count rate target invalid timeout json",
  outbox: "",
  commands: "",
  scheduler: "job jobs",
  all: "worker workers",
  operator: "",
  demo: "count"
}

describe("a flag", () => {
  it("is taken by its own modes, refused by all others, and never in silence", () => {
    assert.sameMembers(modes, Object.keys(takes))
    assert.sameMembers(Object.keys(given), Object.keys(flags))
    for (const mode of modes)
      for (const [name, value] of Object.entries(given)) {
        const problem = misplaced(mode, { ...none, ...value })
        const isTaken = name === "mode" || takes[mode].split(" ").includes(name)
        assert.strictEqual(problem === undefined, isTaken, `--mode=${mode} --${name}: ${problem}`)
      }
  })

  it("that is refused is named with its modes, whatever else is", () => {
    assert.strictEqual(
      misplaced("worker", { ...none, ...given.rate, ...given.json, ...given.values }),
      "--mode=worker takes no --value, --rate or --json: --value goes with --mode=publish; --rate goes with --mode=simulate; --json goes with --mode=migrate, publish or simulate"
    )
  })

  it("before the command that it is for is refused: the parser would drop it", () => {
    const stray = (line: string) => strayFlag(line.split(" "), subcommands)
    assert.match(stray("--rate=5 outbox list") ?? "", /^--rate stands before `outbox`/)
    assert.match(stray("--rate 5 outbox list") ?? "", /^--rate /)
    assert.match(stray("jobs --json history") ?? "", /^--json stands before `history`/)
    for (const fine of [
      "--mode outbox",
      "--mode=publish --topic jobs --value 1",
      "outbox list --json",
      "jobs --json",
      "jobs history jobs",
      "dlq list --limit 3 show",
      "--mode=simulate --rate 5"
    ])
      assert.isUndefined(stray(fine), fine)
  })
})

describe("a name that is misspelt", () => {
  it("is answered with the one that is most like it, if any is", () => {
    const names = ["worker", "outbox", "all", "api"]
    for (const [wrong, right] of [
      ["wroker", "worker"],
      ["workers", "worker"],
      ["outbx", "outbox"],
      ["al", "all"],
      ["ap", "api"],
      ["walk", undefined],
      ["", undefined]
    ] as const)
      assert.strictEqual(nearest(wrong, names), right, wrong)
    assert.isUndefined(nearest("x", []))
  })

  it("is told where it is a mode's, or a command", () => {
    assert.include(new UnknownMode({ given: "wroker" }).message, "did you mean --mode=worker?")
    assert.include(new UnknownMode({ given: "sagas" }).message, "sagas is a command: paystream sagas")
    assert.notInclude(new UnknownMode({ given: "" }).message, "did you mean")
    for (const { name } of subcommands) assert.include(new UnknownMode({ given: "" }).message, name)
  })
})
