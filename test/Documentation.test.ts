/** What the documentation shows is true: every block of TypeScript compiles, or stands in a file that runs. */
import { spawnSync } from "node:child_process"
import { existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { delimiter, join } from "node:path"
import { fileURLToPath } from "node:url"
import { afterAll, assert, describe, it } from "@effect/vitest"

const root = fileURLToPath(new URL("..", import.meta.url))
const pages = ["README.md", "docs/workers.md", "docs/scheduler.md"]
const textOf = (page: string): string => readFileSync(join(root, page), "utf8")

interface Block {
  readonly page: string
  /** The file that it stands in, if it is a part of one. */
  readonly file: string | undefined
  readonly code: string
}

const blocks: ReadonlyArray<Block> = pages.flatMap((page) =>
  [...textOf(page).matchAll(/(?:<!-- from (\S+) -->\n)?```ts\n([\s\S]*?)```/g)].map(([, file, code = ""]) => ({
    page,
    file,
    code
  }))
)

const folder = mkdtempSync(join(tmpdir(), "paystream-documentation-"))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const programs = join(root, "node_modules/.bin")

describe("The documentation", () => {
  it("shows parts of files as they stand there", () => {
    const parts = blocks.filter(({ file }) => file !== undefined)
    assert.isAtLeast(parts.length, 3)
    for (const { code, file = "", page } of parts) {
      assert.isTrue(textOf(file).includes(code), `${page} shows of ${file} what is not in it:\n${code}`)
    }
  })

  it("shows TypeScript that compiles as it stands", () => {
    const whole = blocks.filter(({ file }) => file === undefined)
    assert.isAtLeast(whole.length, 8)
    for (const [index, { code, page }] of whole.entries()) {
      writeFileSync(join(folder, `${page.replaceAll(/\W/g, "_")}_${index}.ts`), code)
    }
    writeFileSync(join(folder, "package.json"), JSON.stringify({ type: "module" }))
    symlinkSync(join(root, "node_modules"), join(folder, "node_modules"))
    const compilerOptions = { rootDir: "/", paths: { paystream: [join(root, "src/index.ts")] } }
    const config = { extends: join(root, "tsconfig.json"), compilerOptions, include: ["*.ts"] }
    writeFileSync(join(folder, "tsconfig.json"), JSON.stringify(config))
    const PATH = `${programs}${delimiter}${process.env.PATH}`
    const { stdout } = spawnSync("tsc", ["--project", folder], { encoding: "utf8", env: { ...process.env, PATH } })
    assert.strictEqual(stdout, "")
  })

  it("names files that are there", () => {
    const named = pages.flatMap((page) =>
      [...textOf(page).matchAll(/\.\/(examples\/[\w-]+\.ts)/g)].map(([, path]) => path)
    )
    assert.isAtLeast(named.length, 3)
    assert.deepStrictEqual(
      named.filter((path = "") => !existsSync(join(root, path))),
      []
    )
  })
})
