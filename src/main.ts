#!/usr/bin/env node
/** The one entry point: how memory is used and where compiled code is kept is said before anything else is loaded. */
import "./layers/process/Memory.ts"
import { useCompileCache } from "./layers/process/CompileCache.ts"

useCompileCache()
const { main } = await import("./modes/CommandLine.ts")
main()
