/** A topic worker, for its author: how it is declared, tested and run. */
export { type Attempt, type Published, type Tested, type Topics, test, testFlow } from "../layers/memory/WorkerTest.ts"
export { run } from "../streams/RunWorkers.ts"
export * from "../streams/Worker.ts"
