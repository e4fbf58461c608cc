/** What can be read off the Dockerfile, and off what is written about it; `npm run test:images` builds and runs it. */
import { existsSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { assert, describe, it } from "@effect/vitest"

const root = fileURLToPath(new URL("..", import.meta.url))
const textOf = (path: string): string => readFileSync(join(root, path), "utf8")
const dockerfile = textOf("Dockerfile")

/** Every match's first group. */
const all = (text: string, pattern: RegExp): ReadonlyArray<string> =>
  [...text.matchAll(pattern)].map(([, found = ""]) => found)

const stages = all(dockerfile, /^FROM \S+ AS (\S+)$/gm)
const modes = all(textOf("src/modes/Modes.ts"), /^ {2}(\w+): \{\n {4}does:/gm)

describe("The Dockerfile", () => {
  it("has a target for every mode that keeps running, which says that mode", () => {
    const ends = ["migrate", "publish", "simulate", "demo"]
    const running = modes.filter((mode) => !ends.includes(mode))
    assert.isAtLeast(running.length, 6)
    for (const mode of running) {
      const stage = dockerfile.split(`FROM slim AS ${mode}\n`)[1]?.split("\nFROM ")[0] ?? ""
      assert.include(stage, `ENV MODE=${mode}\n`)
      assert.include(stage, `image.title="paystream ${mode}"`)
    }
    assert.strictEqual(stages.at(-1), "worker", "what is built when no target is named")
  })

  it("takes bases of a version, and no more of the checkout than it needs", () => {
    for (const base of all(dockerfile, /^ARG \w*BASE=(.+)$/gm)) assert.match(base, /^\w+:\d+\.\d+[\w.-]*$/)
    const copied = all(dockerfile, /^COPY (?!--from)(.+) \S+$/gm).flatMap((paths) => paths.split(" "))
    const admitted = all(textOf(".dockerignore"), /^!(.+)$/gm)
    assert.deepStrictEqual(new Set(copied), new Set(admitted))
    assert.match(textOf(".dockerignore"), /^\*$/m)
  })

  it("starts a file that is there, as a user that is known by number and is not root", () => {
    const [program, file] = JSON.parse(all(dockerfile, /^ENTRYPOINT (.+)$/gm)[0] ?? "[]")
    assert.strictEqual(program, "/usr/local/bin/node")
    assert.isTrue(existsSync(join(root, file.replace("/app/", ""))))
    assert.match(dockerfile, /^USER [1-9]\d*:[1-9]\d*$/m)
    assert.notMatch(dockerfile, /^USER (?![1-9]\d*:[1-9])/m)
  })

  it("says the version of the package", () => {
    assert.strictEqual(all(dockerfile, /^ARG VERSION=(.+)$/gm)[0], JSON.parse(textOf("package.json")).version)
  })

  it("has the targets that the guide and the scripts name", () => {
    const guide = textOf("docs/images.md")
    const named = [...all(guide, /--target (\w+)/g), ...all(guide, /target: (\w+)/g)]
    assert.isAtLeast(named.length, 6)
    const built = all(textOf("scripts/build_and_load_kind_images.sh"), /"\S+:latest (\w+)"/g)
    assert.deepStrictEqual(built, ["worker", "operator"])
    for (const target of [...named, ...built]) assert.include(stages, target)
    for (const script of all(guide, /^(scripts\/\S+)/gm)) assert.isTrue(existsSync(join(root, script)))
  })
})
