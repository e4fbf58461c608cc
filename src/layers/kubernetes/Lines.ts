/** Bytes as they come, cut into the lines that they are. */
import { Result } from "effect"

/** More than etcd stores of one object, many times over. */
const longestLine = 16 * 2 ** 20

export class Lines {
  readonly #decoder = new TextDecoder("utf-8", { fatal: true })
  readonly #longest: number
  /** The parts of a line that has not ended: put together once, however many they are. */
  #begun: Array<string> = []
  #length = 0

  constructor(longest = longestLine) {
    this.#longest = longest
  }

  /** The lines that these bytes end, without empty ones. A character may be cut in two anywhere. */
  push(bytes: Uint8Array): Result.Result<ReadonlyArray<string>, Error> {
    return Result.try({
      try: () => this.#decoder.decode(bytes, { stream: true }),
      catch: () => new Error("the answer is not UTF-8")
    }).pipe(Result.flatMap((text) => this.#cut(text)))
  }

  #cut(text: string): Result.Result<ReadonlyArray<string>, Error> {
    const parts = text.split("\n")
    const unended = parts.pop() ?? ""
    const [first, ...others] = parts
    const lines = first === undefined ? [] : [`${this.#begun.join("")}${first}`, ...others]
    if (first !== undefined) {
      this.#begun = []
      this.#length = 0
    }
    this.#begun.push(unended)
    this.#length += unended.length
    return this.#length > this.#longest
      ? Result.fail(new Error(`a line is longer than ${this.#longest} characters`))
      : Result.succeed(lines.filter((line) => line !== ""))
  }
}
