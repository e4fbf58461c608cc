/** What a program wrote, as conditions to wait for. */
import { assert } from "@effect/vitest"
import { Effect } from "effect"
import type { Child } from "./servers/Child.ts"
import { eventually } from "./servers/eventually.ts"

/** How many lines have this text in them. */
export const count = ({ stderr, stdout }: Child, text: string): number =>
  [...stdout, ...stderr].filter((line) => line.includes(text)).length

/** Waits for so many lines with this text. */
export const waitFor = (program: Child, text: string, times: number) =>
  eventually(
    Effect.sync(() => assert.isAtLeast(count(program, text), times, `lines with ${text}`)),
    { deadline: "40 seconds", every: "5 millis" }
  )
