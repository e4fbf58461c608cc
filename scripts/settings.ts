/** Writes `.env.example`, and the table of settings in the README. With `--check` it only says what is out of date. */
import { readFileSync, writeFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { dotEnvExample, withTable } from "../src/layers/config/SettingsPages.ts"

const read = (path: string): string | undefined => {
  try {
    return readFileSync(path, "utf8")
  } catch {
    return undefined
  }
}

const pages = [
  { name: ".env.example", renewed: dotEnvExample },
  { name: "README.md", renewed: (page: string | undefined) => (page === undefined ? undefined : withTable(page)) }
].map(({ name, renewed }) => {
  const path = fileURLToPath(new URL(`../${name}`, import.meta.url))
  const page = read(path)
  return { name, path, page, renewed: renewed(page) }
})

const outdated = pages.filter(({ page, renewed }) => page !== renewed)

if (process.argv.includes("--check")) {
  for (const { name } of outdated) console.error(`${name} is out of date: run "npm run settings"`)
  process.exitCode = outdated.length === 0 ? 0 : 1
} else {
  for (const { name, path, renewed } of outdated) {
    writeFileSync(path, renewed ?? "")
    console.log(`${name} written`)
  }
}
