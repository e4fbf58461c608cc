/** Writes `manifests/crd-paymentjob.yaml` of the Schema. With `--check` it only says whether it is out of date. */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { dirname } from "node:path"
import { fileURLToPath } from "node:url"
import { crd } from "../src/operator/Crd.ts"
import { yaml } from "../src/operator/Yaml.ts"

const name = "manifests/crd-paymentjob.yaml"
const path = fileURLToPath(new URL(`../${name}`, import.meta.url))
const head = "# Generated from src/operator/PaymentJob.ts: change that, then run `npm run crd`.\n"
const renewed = `${head}${yaml(crd)}`

const read = (): string | undefined => {
  try {
    return readFileSync(path, "utf8")
  } catch {
    return undefined
  }
}

if (read() !== renewed) {
  if (process.argv.includes("--check")) {
    console.error(`${name} is out of date: run "npm run crd"`)
    process.exitCode = 1
  } else {
    mkdirSync(dirname(path), { recursive: true })
    writeFileSync(path, renewed)
    console.log(`${name} written`)
  }
}
