#!/usr/bin/env node
/** The one entry point. What it loads from here on comes from the compile cache, where there is one. */
import { useCompileCache } from "./layers/process/CompileCache.ts"

useCompileCache()
const { main } = await import("./modes/CommandLine.ts")
main()
