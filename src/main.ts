#!/usr/bin/env node
/** The one entry point: how memory is used is said before anything else is loaded, which would grow it otherwise. */
import "./layers/process/Memory.ts"

await import("./modes/CommandLine.ts")
