/** Which Paystream runs, as its package says. */
import { createRequire } from "node:module"

// Read at run time: the same path leads there from the sources and from what is built of them.
const manifest: { readonly version: string } = createRequire(import.meta.url)("../../../package.json")

export const version = manifest.version
